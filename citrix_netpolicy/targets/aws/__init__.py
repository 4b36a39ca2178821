"""AWS: security groups, as requests of EC2 and as a Terraform module."""
