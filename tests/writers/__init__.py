"""Writers of the official dataset layouts, made from the format facts and not from the loaders.

Each module has `write(root, clips)`: the clips become sequences named as the mapping says, in the encodings of the
official download. They take nothing from `page4d.data.datasets`, so that a loader's mistake cannot hide in both.
"""
