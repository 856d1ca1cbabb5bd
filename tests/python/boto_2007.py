"""Runs what boto 2.49 has of the 2007 service against an endpoint of today.

argv:  bs ARGUMENT…              boto's own program `bs` (boto.services.bs): submit, retrieve
       md5 CONFIG BATCH FILE     stores a file under its bare MD5 and sends its message
       listed CONFIG BATCH KEY   sends the message of an object that is in the input bucket already
env:   AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY
       QUEUES=boto3: boto3 carries the messages' texts; for an endpoint whose SQS lacks the query protocol of boto's

boto's own, as released: all of boto.services (what a message says, how a status is read, log.csv, the statistics), how messages
become text and text becomes messages, S3 with signatures of version 4, and SQS unless boto3 carries the texts.

Not boto's own, since 2.49 does not run otherwise: the present six in the place of its copy, which Python 3.12 can no longer import;
an empty `imp`, which Python 3.12 lost, and which boto imports but needs for plug-ins only; and `boto.lookup`, which
boto.services calls and boto itself has no more.
"""

import hashlib
import importlib.util
import os
import sys
import types
import urllib.parse
import warnings

import six


def make_importable():
    # Under the copy's name: so it serves what is below it, boto.vendored.six.moves, too.
    spec = importlib.util.spec_from_file_location("boto.vendored.six", six.__file__)
    sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[spec.name])
    if sys.version_info >= (3, 12):
        sys.modules["imp"] = types.ModuleType("imp")
    warnings.simplefilter("ignore", DeprecationWarning)


make_importable()

import boto  # noqa: E402
import boto3  # noqa: E402
from boto.s3.connection import OrdinaryCallingFormat  # noqa: E402
from boto.services.bs import BS  # noqa: E402
from boto.services.servicedef import ServiceDef  # noqa: E402
from boto.services.submit import Submitter  # noqa: E402
from boto.sqs.connection import SQSConnection  # noqa: E402
from boto.sqs.regioninfo import SQSRegionInfo  # noqa: E402


class OnAnyPort(OrdinaryCallingFormat):
    """Buckets in the path. By itself boto tells the port twice in `Host` if it signs with version 4."""

    def build_host(self, server, bucket):
        return server.partition(":")[0]


class ByPost(SQSConnection):
    """moto takes a call of the query protocol for one of JSON if it is no POST; boto's are GET, but for SendMessage."""

    def make_request(self, action, params=None, path="/", verb="GET"):
        return super().make_request(action, params, path, "POST")


class CarriedQueue:
    """What boto.services uses of boto's queues."""

    def __init__(self, name):
        self.client = boto3.client("sqs", region_name=os.environ["AWS_REGION"])
        self.id = self.client.get_queue_url(QueueName=name)["QueueUrl"]

    def set_message_class(self, message_class):
        self.message_class = message_class

    def new_message(self, body=""):
        return self.message_class(self, body)

    def write(self, message):
        self.client.send_message(
            QueueUrl=self.id, MessageBody=message.get_body_encoded()
        )

    def read(self):
        for received in self.client.receive_message(QueueUrl=self.id).get("Messages", []):
            message = self.new_message()
            # In the steps of boto's reader of XML, which lets the message's class decode the text.
            message.endElement("Body", received["Body"], None)
            message.endElement("ReceiptHandle", received["ReceiptHandle"], None)
            message.endNode(None)
            return message

    def delete_message(self, message):
        self.client.delete_message(
            QueueUrl=self.id, ReceiptHandle=message.receipt_handle
        )


def lookup(service, name):
    """The bucket or queue of that name, None if there is none; what boto.lookup did."""
    endpoint = urllib.parse.urlsplit(os.environ["AWS_ENDPOINT_URL"])
    region = os.environ["AWS_REGION"]
    reached = {"is_secure": endpoint.scheme == "https", "port": endpoint.port}
    if service == "s3":
        connection = boto.connect_s3(
            host=endpoint.hostname, calling_format=OnAnyPort(), **reached
        )
        # By itself boto knows the region to sign for by the host's name.
        connection.auth_region_name = region
        return connection.lookup(name)
    if service == "sqs" and os.environ.get("QUEUES") == "boto3":
        return CarriedQueue(name)
    if service == "sqs":
        there = SQSRegionInfo(name=region, endpoint=endpoint.hostname)
        return ByPost(region=there, **reached).lookup(name)
    raise ValueError(f"no {service} here")


def main():
    # Its default is version 2.
    os.environ["S3_USE_SIGV4"] = "True"
    boto.lookup = lookup
    command = sys.argv.pop(1)
    if command == "bs":
        return BS().main()
    config, batch, what = sys.argv[1:]
    submitter = Submitter(ServiceDef(config))
    if command == "md5":
        # boto gives a key without a name that of its MD5; but on Python 3 they are bytes, which it then quotes.
        with open(what, "rb") as file:
            md5 = hashlib.file_digest(file, "md5").hexdigest()
        key = submitter.input_bucket.new_key(md5)
        key.set_contents_from_filename(what)
    elif command == "listed":
        key = submitter.input_bucket.lookup(what)
    else:
        raise ValueError(command)
    submitter.write_message(key, {"Batch": batch})


main()
