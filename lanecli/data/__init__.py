"""From raw data to training batches: layouts, datasets on disk, procedural scenes, augmentation."""
