"""What people write: the catalogue and the deployment, read into checked, frozen models."""
