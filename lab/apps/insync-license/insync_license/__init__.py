"""LAB STAND-IN. The license application: is this key valid?"""
