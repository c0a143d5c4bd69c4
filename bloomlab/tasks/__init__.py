"""Ask the task heads, and train them. Read in this order: results, ask, finetune."""
