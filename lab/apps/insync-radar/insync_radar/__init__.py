"""LAB STAND-IN. Radar: nobody has told what it does, so this only says that it is there."""
