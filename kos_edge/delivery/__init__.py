"""Delivery as machines: gathering, numbering, receipts, the courier and its window. No I/O here."""
