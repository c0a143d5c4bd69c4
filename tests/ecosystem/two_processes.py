"""Training on two processes: `python -m torch.distributed.run --nproc-per-node 2 two_processes.py`."""

import torch
import torch.distributed
from torch.nn.parallel import DistributedDataParallel

import bloomlab
from bloomlab import tiny

if __name__ == "__main__":
    torch.distributed.init_process_group("gloo")
    rank = torch.distributed.get_rank()
    tokenizer = bloomlab.BloomTokenizerFast.from_pretrained(tiny.folder())
    model = DistributedDataParallel(bloomlab.BloomForCausalLM.from_pretrained(tiny.folder()).train())
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    texts = [["Leo lives in Oslo.", "Ana"], ["Ana vive en Lima ahora.", "Leo"]][rank]
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    for _ in range(2):
        model(**batch, labels=batch["input_ids"]).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    total = torch.stack([weights.double().sum() for weights in model.parameters()]).sum()
    both = [torch.zeros_like(total) for _ in range(2)]
    torch.distributed.all_gather(both, total)
    if rank == 0:
        print("the same weights on both:", torch.equal(*both))
    torch.distributed.destroy_process_group()
