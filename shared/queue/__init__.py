"""The queue: what is said over it (`messages`), the workers' common shell (`worker`), the whole flow (`pipeline`)."""
