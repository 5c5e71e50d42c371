"""From routes to jobs: the training plan, its files and views, its consistency, and what differs between two plans."""
