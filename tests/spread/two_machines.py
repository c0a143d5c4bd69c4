"""What docs/large.md says of two machines by ssh and of SLURM, run as it stands there, on machines of one computer.

python -m tests.spread.two_machines                 (root; Debian's iproute2, openssh-server, slurm-wlm and munge)

Each machine has a network, an address, a name, processes and a folder for Jupyter's files of its own; the disk and the
processor are shared. Of the page's lines only the two paths are put in their place. When this ends, they are gone.
"""

import contextlib
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import bloomlab

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "large.md"
MACHINES = {"notebook": "10.0.0.1", "node-a": "10.0.0.2", "node-b": "10.0.0.3"}
PATHS = {"/opt/bloomlab/bin/python": sys.executable}  # of the page; the model's folder is added
TOOLS = ("ip", "ssh-keygen", "slurmctld", "slurmd", "munged")
SSHD = "/usr/sbin/sshd"  # it wants to be called by its whole path
OWN, SHARED = "of-one", "of-all"  # folders for Jupyter's files: a machine's own, and one for all

CHECK = """
import os, signal, socket, threading, time
import torch
from bloomlab import zero
from bloomlab.errors import PartsError

names = rc[:].apply_sync(socket.gethostname)
print("engines on", names)
assert sorted(names) == ["node-a", "node-b"]
one, text = bloomlab.load(FOLDER), "Leo lives in Oslo. Leo has a cat."
for edit in ({}, {"h.2.attn.mixed": zero(head=3)}):
    ours, theirs = lab.trace(text, ["*"], edit), one.trace(text, ["*"], edit)
    far = max(((ours[n].nan_to_num() - theirs[n].nan_to_num()).abs().max() / theirs[n].abs().max()).item()
              for n in theirs.names)
    print(f"all spots{', edited' if edit else ''}: largest difference {far:.1e} of scale")
    assert far <= 1e-4
assert lab.generate("Leo lives in", max_new_tokens=8) == one.generate("Leo lives in", max_new_tokens=8)
assert not lab.explore(text).troubles
print("greedy text equal, the explorer opens")

expected = one.trace(text, ["logits"])["logits"]

def right():
    return torch.allclose(lab.trace(text, ["logits"])["logits"], expected, rtol=0, atol=1e-4)

def raises(x, at):
    raise ValueError("no")

try:
    lab.trace(text, ["logits"], {"h.1.mlp.out": raises})
except PartsError as error:
    print("an edit that raises:", error)
assert right()
for seconds in (0.3, 0.9, 1.7):
    threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT)).start()
    try:
        lab.generate("Leo lives in", max_new_tokens=100, progress=False)
        time.sleep(2)
    except KeyboardInterrupt:
        pass
    assert right()
print("three interrupts, and right after each")

def listening():
    import subprocess
    lines = subprocess.run(["ss", "-tlnpH"], capture_output=True, text=True).stdout.splitlines()
    return [line.split()[3].rpartition(":")[0] for line in lines if "python" in line]

places = sum(rc[:].apply_sync(listening), [])
print("engines listen at", sorted(set(places)))
assert set(places) == {"127.0.0.1", "10.0.0.2", "10.0.0.3"}
"""
CLOSE = """
pid = rc[:].apply_sync(os.getpid)[1]
rc[rc.ids[1]].apply_async(os.kill, pid, signal.SIGKILL)
time.sleep(5)
try:
    lab.trace(text, ["logits"])
except PartsError as error:
    print("a killed engine:", error)
else:
    raise SystemExit("a killed engine was not noticed")
"""

SSH_CONFIG = """
Host *
    IdentityFile {folder}/key
    UserKnownHostsFile {folder}/known
"""

SLURM = """
ClusterName=pretended
SlurmctldHost=notebook(10.0.0.1)
SlurmUser=root
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
ReturnToService=2
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmdSpoolDir={folder}/spool-%n
StateSaveLocation={folder}/state
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
SelectType=select/cons_tres
NodeName=node-a NodeAddr=10.0.0.2 CPUs=2 State=UNKNOWN
NodeName=node-b NodeAddr=10.0.0.3 CPUs=2 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES State=UP
"""


def lines_of(heading: str) -> list[str]:
    """The blocks of code of a section of the page, each as it would be typed."""
    section = PAGE.read_text().split(f"### {heading}\n", 1)[1].split("\n### ", 1)[0].split("\n## ", 1)[0]
    blocks: list[list[str]] = [[]]
    for line in section.splitlines():
        if line.startswith("    ") or (not line and blocks[-1]):
            blocks[-1].append(line)
        elif blocks[-1]:
            blocks.append([])
    return [textwrap.dedent("\n".join(block)).strip() + "\n" for block in blocks if block]


class Machine:
    """A network, a name, processes and mounts of their own, for as long as one process lives."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder = name, folder
        for each in (folder / OWN, folder / SHARED, Path("/run/sshd")):
            each.mkdir(exist_ok=True)
        begin = f"""
            hostname {name}
            mount --bind {folder}/hosts /etc/hosts
            mount --bind {folder}/nsswitch /etc/nsswitch.conf
            mount --bind {folder}/ssh_config /etc/ssh/ssh_config
            mount -t tmpfs none {folder / OWN}
            mount -t tmpfs none /run/munge
            echo ready
            sleep infinity &
            wait  # so that those who lose their parent do not stay as shadows"""
        inside = [
            "unshare",
            "--uts",
            "--mount",
            "--pid",
            "--fork",
            "--mount-proc",
            "--kill-child",
            "bash",
            "-ec",
            begin,
        ]
        self.process = subprocess.Popen(
            ["ip", "netns", "exec", f"bloomlab-{name}", *inside], stdout=subprocess.PIPE, text=True
        )
        if self.process.stdout is None or self.process.stdout.readline() != "ready\n":
            raise SystemExit(f"{name} did not start; this takes root")
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        self.first = children.read_text().split()[0]

    def run(self, *command: str, **environment: str) -> None:
        """Run a command there, and show what it prints."""
        words = [f"{name}={value}" for name, value in environment.items()]
        inside = ["nsenter", "-t", self.first, "-n", "-u", "-m", "-p", f"--wd={self.folder}", "env", *words]
        subprocess.run([*inside, *command], check=True)

    def end(self) -> None:
        """With the first process all others of this machine end."""
        self.process.kill()
        self.process.wait()


def network() -> Iterator[str]:
    """The commands that join the machines by a switch."""
    yield "ip netns add bloomlab-switch"
    yield "ip -n bloomlab-switch link add name switch up type bridge"
    for i, (name, address) in enumerate(MACHINES.items()):
        yield f"ip netns add bloomlab-{name}"
        yield f"ip -n bloomlab-switch link add port{i} type veth peer name wire netns bloomlab-{name}"
        yield f"ip -n bloomlab-switch link set port{i} master switch up"
        yield f"ip -n bloomlab-{name} addr add {address}/24 dev wire"
        yield f"ip -n bloomlab-{name} link set wire up"
        yield f"ip -n bloomlab-{name} link set lo up"


@contextlib.contextmanager
def machines(folder: Path) -> Iterator[dict[str, Machine]]:
    """The three machines, with sshd, munge and SLURM running."""
    for name in ("key", "host"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    host = (folder / "host.pub").read_text()
    files = {
        "hosts": "127.0.0.1 localhost\n" + "".join(f"{where} {name}\n" for name, where in MACHINES.items()),
        "nsswitch": "passwd: files\ngroup: files\nhosts: files\n",  # there is nobody to ask for other names
        "known": "".join(f"{name} {host}" for name in MACHINES),
        "ssh_config": SSH_CONFIG.format(folder=folder),
        "slurm.conf": SLURM.format(folder=folder),
        "cgroup.conf": "CgroupPlugin=cgroup/v1\nCgroupAutomount=no\n",
        "munge.key": "k" * 64,
    }
    for name, text in files.items():
        (folder / name).write_text(text)
    (folder / "munge.key").chmod(0o400)
    found: dict[str, Machine] = {}
    try:
        for command in network():
            subprocess.run(command.split(), check=True)
        for name in MACHINES:
            machine = found[name] = Machine(name, folder)
            options = [f"AuthorizedKeysFile={folder}/key.pub", "PidFile=none", "StrictModes=no", "UsePAM=no"]
            machine.run(SSHD, "-h", f"{folder}/host", *(f"-o{option}" for option in options))
            kept = [f"--{what}-file={folder}/munge-{what}-{name}" for what in ("log", "pid", "seed")]
            machine.run("munged", "--force", f"--key-file={folder}/munge.key", *kept)
            conf = {"SLURM_CONF": f"{folder}/slurm.conf"}
            if name == "notebook":
                (folder / "state").mkdir()
                machine.run("slurmctld", **conf)
            else:
                (folder / f"spool-{name}").mkdir()
                machine.run("slurmd", "-N", name, **conf)
        yield found
    finally:
        for machine in found.values():
            machine.end()
        for name in (*MACHINES, "switch"):
            subprocess.run(["ip", "netns", "del", f"bloomlab-{name}"], check=False)


def typed(notebook: Machine, block: str, files: str) -> None:
    """Type a block of the page into a Python of the notebook's machine, and see that the model is as it should be."""
    for path, here in PATHS.items():
        block = block.replace(path, here)
    opened, closed = block.split("\n\n", 1)
    script = notebook.folder / "typed.py"
    script.write_text(f"import bloomlab\nFOLDER = {str(notebook.folder / 'model')!r}\n{opened}\n{CHECK}{CLOSE}{closed}")
    start = time.monotonic()
    notebook.run(
        sys.executable,
        "-Wignore",
        "-u",
        str(script),
        IPYTHONDIR=str(notebook.folder / files),
        PYTHONPATH=str(ROOT),
        SLURM_CONF=f"{notebook.folder}/slurm.conf",
    )
    print(f"as it should be, in {time.monotonic() - start:.0f} s\n", flush=True)


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the machines end then, too
    missing = [tool for tool in TOOLS if shutil.which(tool) is None] + [SSHD] * (not Path(SSHD).exists())
    if missing:
        raise SystemExit(f"this takes {', '.join(missing)}: apt install iproute2 openssh-server slurm-wlm munge")
    with tempfile.TemporaryDirectory(prefix="bloomlab-machines-") as name:
        folder = Path(name)
        lab = bloomlab.load()
        lab.model.save_pretrained(folder / "model")
        lab.tokenizer.save_pretrained(folder / "model")
        PATHS["/data/bloom-7b1"] = str(folder / "model")
        with machines(folder) as found:
            batch, python = lines_of("SLURM")
            (folder / "engines.sbatch").write_text(batch)
            print("SLURM", flush=True)
            typed(found["notebook"], python, SHARED)
            print("ssh", flush=True)
            typed(found["notebook"], lines_of("Two machines by ssh")[0], OWN)


if __name__ == "__main__":
    main()
