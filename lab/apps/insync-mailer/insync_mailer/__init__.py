"""LAB STAND-IN. The mailer sends what is queued; the periodic mailer queues digests."""
