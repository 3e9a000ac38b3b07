# Two accounts, two VPCs with the same addresses, one service, one endpoint that leads to it.
#
#   sidegate account create shop -o json > shop.json
#   sidegate account create payments -o json > payments.json
#   export SSL_CERT_FILE=/path/to/data/tls/ca.pem        # what Sidegate's certificate is verified with
#   terraform init && terraform apply -var sidegate=https://127.0.0.1:PORT
#
# PORT is in data/ready.json, under http_api; `make up` takes a fixed one with SIDEGATE_HTTP_PORT.

terraform {
  required_providers {
    huaweicloud = {
      source  = "huaweicloud/huaweicloud"
      version = ">= 1.70"
    }
  }
}

variable "sidegate" {
  type = string
}

locals {
  shop     = jsondecode(file("shop.json"))
  payments = jsondecode(file("payments.json"))
}

provider "huaweicloud" {
  alias      = "shop"
  region     = "local"
  access_key = local.shop.access_key
  secret_key = local.shop.secret_key
  project_id = local.shop.project_id
  auth_url   = "${var.sidegate}/v3"

  skip_check_website_type = true

  endpoints = {
    iam   = var.sidegate
    vpc   = var.sidegate
    vpcep = var.sidegate
  }
}

provider "huaweicloud" {
  alias      = "payments"
  region     = "local"
  access_key = local.payments.access_key
  secret_key = local.payments.secret_key
  project_id = local.payments.project_id
  auth_url   = "${var.sidegate}/v3"

  skip_check_website_type = true

  endpoints = {
    iam   = var.sidegate
    vpc   = var.sidegate
    vpcep = var.sidegate
  }
}

resource "huaweicloud_vpc" "payments" {
  provider = huaweicloud.payments
  name     = "payments"
  cidr     = "10.0.0.0/24"
}

resource "huaweicloud_vpc_subnet" "payments" {
  provider    = huaweicloud.payments
  name        = "main"
  vpc_id      = huaweicloud_vpc.payments.id
  cidr        = "10.0.0.0/24"
  gateway_ip  = "10.0.0.1"
  primary_dns = "10.0.0.53"
}

resource "huaweicloud_vpc_network_interface" "web" {
  provider    = huaweicloud.payments
  name        = "web"
  subnet_id   = huaweicloud_vpc_subnet.payments.id
  fixed_ip_v4 = "10.0.0.10"
}

resource "huaweicloud_vpcep_service" "web" {
  provider    = huaweicloud.payments
  name        = "web"
  server_type = "VM"
  vpc_id      = huaweicloud_vpc.payments.id
  port_id     = huaweicloud_vpc_network_interface.web.id
  approval    = true
  permissions = ["iam:domain::shop"]

  port_mapping {
    service_port  = 8080
    terminal_port = 80
  }
}

resource "huaweicloud_vpc" "shop" {
  provider = huaweicloud.shop
  name     = "shop"
  cidr     = "10.0.0.0/24"
}

resource "huaweicloud_vpc_subnet" "shop" {
  provider    = huaweicloud.shop
  name        = "main"
  vpc_id      = huaweicloud_vpc.shop.id
  cidr        = "10.0.0.0/24"
  gateway_ip  = "10.0.0.1"
  primary_dns = "10.0.0.53"
}

resource "huaweicloud_vpcep_endpoint" "web" {
  provider   = huaweicloud.shop
  service_id = huaweicloud_vpcep_service.web.id
  vpc_id     = huaweicloud_vpc.shop.id
  network_id = huaweicloud_vpc_subnet.shop.id
  ip_address = "10.0.0.100"
  enable_dns = false
}

resource "huaweicloud_vpcep_approval" "web" {
  provider   = huaweicloud.payments
  service_id = huaweicloud_vpcep_service.web.id
  endpoints  = [huaweicloud_vpcep_endpoint.web.id]
}
