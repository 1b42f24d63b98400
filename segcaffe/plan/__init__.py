"""The memory plan: which buffers share memory, and what is recomputed so that less is needed.

`memory.make_plan` is where planning happens, from a `program.Program` to a `memory.MemoryPlan`; nothing here knows
arrays, blobs, layers or nets. `segcaffe.net.program` writes a net down as a program, `segcaffe.net.arena` lays out its
memory by the plan.
"""
