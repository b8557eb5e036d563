"""COCO json as a dataset: boxes, and where asked for or present masks, captions and what a
federated file (LVIS) says about presence.

N images, C categories, M boxes.
"""
