"""One file a family of networks; without attention each equals its origin's network.

Every file has `build(name, num_classes)`, a network with random weights, and `pretrained(name)`,
its ImageNet weights by tensor name. A family in another package has the same two functions, and
`ModelSpec.family` names its module with dots.
"""
