"""A stand-in for the Terraform provider azurerm: its real schema, some of its limits, and no Azure.

`python -m standin SCHEMA` speaks Terraform's plugin protocol 6. Names, types and missing arguments are judged
by Terraform itself against the schema; `standin.limits` adds what azurerm refuses beyond it. What is applied
is echoed with ids such as Azure gives.
"""
