"""One file a family of networks; without attention each equals its origin's network.

Every file has `build(name, num_classes)`, a network with random weights, and `pretrained(name)`,
its ImageNet weights by tensor name.
"""
