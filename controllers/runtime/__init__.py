"""What every controller needs: queue, caches, ownership, views. See docs/controllers.md."""
