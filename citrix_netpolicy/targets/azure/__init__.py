"""Azure: network security groups, as REST JSON, as a Terraform module and as Bicep."""
