//! Routes, endpoints and groups, and the switches that make the account's network another.

use aws_sdk_ec2::types::{Filter, IpPermission, Subnet};
use localcloud::ec2::NetworkSettings;
use serde_json::json;

use super::rig::{Cloud, code};

fn filter(name: &str, value: &str) -> Filter {
    Filter::builder().name(name).values(value).build()
}

fn settings(value: serde_json::Value) -> NetworkSettings {
    serde_json::from_value(value).unwrap()
}

const VPC: &str = "vpc-00000000000000001";

/// Targets of 0.0.0.0/0, each with its state.
async fn default_routes(cloud: &Cloud) -> Vec<(String, String)> {
    let tables = cloud
        .client
        .describe_route_tables()
        .filters(filter("vpc-id", VPC))
        .filters(filter("association.main", "true"))
        .send()
        .await
        .unwrap();
    let table = &tables.route_tables()[0];
    assert_eq!(table.associations()[0].main(), Some(true));
    assert_eq!(table.routes()[0].gateway_id(), Some("local"));
    table
        .routes()
        .iter()
        .filter(|route| route.destination_cidr_block() == Some("0.0.0.0/0"))
        .map(|route| {
            let target = route.gateway_id().or(route.nat_gateway_id()).unwrap();
            (
                target.to_owned(),
                route.state().unwrap().as_str().to_owned(),
            )
        })
        .collect()
}

async fn subnets(cloud: &Cloud) -> Vec<Subnet> {
    let found = cloud.client.describe_subnets().send().await.unwrap();
    found.subnets().to_vec()
}

/// Outbound rules of the first security group.
async fn egress(cloud: &Cloud) -> Vec<IpPermission> {
    let groups = cloud.client.describe_security_groups();
    let groups = groups.send().await.unwrap();
    groups.security_groups()[0].ip_permissions_egress().to_vec()
}

#[tokio::test]
async fn a_new_account_reaches_the_internet() {
    let cloud = Cloud::new();
    let gateway = ("igw-00000000000000001".to_owned(), "active".to_owned());
    assert_eq!(default_routes(&cloud).await, [gateway]);
    let egress = egress(&cloud).await;
    assert_eq!(egress[0].ip_protocol(), Some("-1"));
    assert_eq!(egress[0].ip_ranges()[0].cidr_ip(), Some("0.0.0.0/0"));
    let endpoints = cloud.client.describe_vpc_endpoints().send().await.unwrap();
    assert!(endpoints.vpc_endpoints().is_empty());
    assert!(
        subnets(&cloud)
            .await
            .iter()
            .all(|subnet| subnet.map_public_ip_on_launch() == Some(true))
    );
}

#[tokio::test]
async fn the_switches_make_it_another() {
    let cloud = Cloud::new();
    cloud.ec2.set_network(settings(json!({
        "default_vpc": false, "private_subnets": ["subnet-0000000000000001a"], "route": "blackhole",
        "endpoints": ["s3", "sqs"], "egress": false, "shared_by": "111111111111",
    })));
    let nat = ("nat-00000000000000001".to_owned(), "blackhole".to_owned());
    assert_eq!(default_routes(&cloud).await, [nat]);
    let found = subnets(&cloud).await;
    let public: Vec<_> = found.iter().map(Subnet::map_public_ip_on_launch).collect();
    assert_eq!(public, [Some(false), Some(true)]);
    assert!(found.iter().all(|subnet| {
        subnet.default_for_az() == Some(false) && subnet.owner_id() == Some("111111111111")
    }));
    let endpoints = cloud
        .client
        .describe_vpc_endpoints()
        .filters(filter("vpc-endpoint-state", "available"))
        .send()
        .await
        .unwrap();
    let mut kinds: Vec<_> = endpoints
        .vpc_endpoints()
        .iter()
        .map(|endpoint| {
            (
                endpoint.service_name().unwrap(),
                endpoint.vpc_endpoint_type().unwrap().as_str(),
                endpoint.private_dns_enabled(),
            )
        })
        .collect();
    kinds.sort_unstable();
    assert_eq!(
        kinds,
        [
            ("com.amazonaws.us-local-1.s3", "Gateway", Some(false)),
            ("com.amazonaws.us-local-1.sqs", "Interface", Some(true)),
        ]
    );
    assert!(egress(&cloud).await.is_empty());
    let error = cloud.run().send().await.unwrap_err();
    assert_eq!(code(&error).0, "VPCIdNotSpecified");
    cloud
        .run()
        .subnet_id("subnet-0000000000000001b")
        .send()
        .await
        .unwrap();
}

#[tokio::test]
async fn what_ec2_refuses_is_refused() {
    let cloud = Cloud::new();
    let error = cloud
        .client
        .describe_route_tables()
        .route_table_ids("rtb-0123456789abcdef0")
        .send()
        .await
        .unwrap_err();
    assert_eq!(code(&error).0, "InvalidRouteTableID.NotFound");
    let error = cloud
        .client
        .describe_route_tables()
        .filters(filter("subnet-id", "subnet-0000000000000001a"))
        .send()
        .await
        .unwrap_err();
    assert_eq!(code(&error).0, "InvalidParameterValue");
    // Implicit use of the main table is no association.
    let tables = cloud
        .client
        .describe_route_tables()
        .filters(filter("association.subnet-id", "subnet-0000000000000001a"))
        .send()
        .await
        .unwrap();
    assert!(tables.route_tables().is_empty());
    let error = cloud
        .client
        .describe_vpc_endpoints()
        .vpc_endpoint_ids("vpce-0123456789abcdef0")
        .send()
        .await
        .unwrap_err();
    assert_eq!(code(&error).0, "InvalidVpcEndpointId.NotFound");
}
