"""The lab: boots the inventory's servers as system containers, with the outside world beside them."""
