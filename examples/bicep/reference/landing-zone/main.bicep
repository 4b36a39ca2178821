// A virtual network in which no subnet is ever without its group, as the policy of Azure Landing Zones asks: the groups
// come first, and the one definition of each subnet takes the id of its own.
metadata name = 'Virtual network of the reference site'
metadata description = 'Subnets with the network security groups of their tiers.'

@description('Optional. Azure region of the virtual network.')
param location string = resourceGroup().location

@description('Network security groups of all tiers.')
module citrix '../module/main.bicep' = {
  params: {
    location: location
  }
}

@description('Virtual network with one subnet or more for each tier.')
resource network 'Microsoft.Network/virtualNetworks@2025-05-01' = {
  name: 'vnet-contoso-prod'
  location: location
  properties: {
    addressSpace: {
      addressPrefixes: [
        '10.20.0.0/16'
      ]
    }
    subnets: [
      {
        name: 'snet-adc-management'
        properties: {
          addressPrefix: '10.20.0.0/28'
          defaultOutboundAccess: false
          networkSecurityGroup: {
            id: citrix.outputs.networkSecurityGroupIds['adc-management']
          }
        }
      }
      {
        name: 'snet-adc-client'
        properties: {
          addressPrefix: '10.20.0.16/28'
          defaultOutboundAccess: false
          networkSecurityGroup: {
            id: citrix.outputs.networkSecurityGroupIds['adc-client']
          }
        }
      }
      {
        name: 'snet-adc-server'
        properties: {
          addressPrefix: '10.20.0.32/28'
          defaultOutboundAccess: false
          networkSecurityGroup: {
            id: citrix.outputs.networkSecurityGroupIds['adc-server']
          }
        }
      }
      {
        name: 'snet-storefront'
        properties: {
          addressPrefix: '10.20.1.0/28'
          defaultOutboundAccess: false
          networkSecurityGroup: {
            id: citrix.outputs.networkSecurityGroupIds.storefront
          }
        }
      }
      {
        name: 'snet-ddc-1'
        properties: {
          addressPrefix: '10.20.2.0/28'
          defaultOutboundAccess: false
          networkSecurityGroup: {
            id: citrix.outputs.networkSecurityGroupIds.ddc
          }
        }
      }
      {
        name: 'snet-ddc-2'
        properties: {
          addressPrefix: '10.20.2.16/28'
          defaultOutboundAccess: false
          networkSecurityGroup: {
            id: citrix.outputs.networkSecurityGroupIds.ddc
          }
        }
      }
      {
        name: 'snet-vda-1'
        properties: {
          addressPrefix: '10.20.64.0/20'
          defaultOutboundAccess: false
          networkSecurityGroup: {
            id: citrix.outputs.networkSecurityGroupIds.vda
          }
        }
      }
      {
        name: 'snet-vda-2'
        properties: {
          addressPrefix: '10.20.80.0/20'
          defaultOutboundAccess: false
          networkSecurityGroup: {
            id: citrix.outputs.networkSecurityGroupIds.vda
          }
        }
      }
      {
        name: 'snet-pvs'
        properties: {
          addressPrefix: '10.20.3.0/28'
          defaultOutboundAccess: false
          networkSecurityGroup: {
            id: citrix.outputs.networkSecurityGroupIds.pvs
          }
        }
      }
      {
        name: 'snet-sql'
        properties: {
          addressPrefix: '10.20.4.0/29'
          defaultOutboundAccess: false
          networkSecurityGroup: {
            id: citrix.outputs.networkSecurityGroupIds.sql
          }
        }
      }
      {
        name: 'snet-license-server'
        properties: {
          addressPrefix: '10.20.4.8/29'
          defaultOutboundAccess: false
          networkSecurityGroup: {
            id: citrix.outputs.networkSecurityGroupIds['license-server']
          }
        }
      }
    ]
  }
}

@description('Resource id of the virtual network.')
output virtualNetworkId string = network.id
