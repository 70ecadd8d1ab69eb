"""The pieces of the synthetic world; use them through `page4d.data.synthetic`."""
