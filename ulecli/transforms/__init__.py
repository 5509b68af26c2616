"""What happens to a photo before a net sees it: batched, differentiable, on any device.

Images are (N, C, H, W) with C of 1 (luma) or 3 (RGB), floating point on the unit scale. Nothing here draws
random numbers: a caller draws the parameters (`ulecli.transforms.views.ViewPolicy`) and passes them in.
"""
