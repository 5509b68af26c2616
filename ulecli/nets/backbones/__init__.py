"""Pretrained nets without their classifiers: from pictures to features."""
