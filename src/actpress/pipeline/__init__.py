"""Machinery that recipes share: jobs, the search that meets a budget, learning, records."""
