"""One BLOOM in several processes, on one machine or on many: each part holds a share of every large matrix.

Read in this order: shares (who holds what), group (how parts add up), part (what runs on an engine), engines (how they
are started and asked), whole (what stands in the notebook).
"""
