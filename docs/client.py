"""client.py STACK submit BATCH FILE...  or  client.py STACK collect BATCH COUNT FOLDER; see docs/messages.md"""
import boto3, email, hashlib, mimetypes, os, re, sys

def submit(*paths):
    for path in paths:
        with open(path, "rb") as file: md5 = hashlib.file_digest(file, "md5").hexdigest()
        s3.upload_file(path, bucket, f"media/{md5}", ExtraArgs=owner)
        lines = [f"Bucket: {bucket}", f"InputKey: media/{md5}", f"Size: {os.path.getsize(path)}", f"Batch: {batch}",
                 f"OriginalFileName: {os.path.basename(path)}", f"OriginalLocation: {os.path.dirname(path)}"]
        body = "\n".join("".join(c if c.isprintable() else " " for c in line) for line in lines)
        sqs.send_message(QueueUrl=queue, MessageBody=body)

def fetch(job, start):  # Names are strangers': nothing of them leads out of the folder or acts on a terminal.
    name = "".join(c if c.isprintable() else "_" for c in re.split(r"[/\\]", job["OriginalFileName"] or "")[-1])
    start += os.path.splitext(name)[0][:40]
    if job["Status"] == "failed": return print(f"{start}: {job['Error']!r}", file=sys.stderr)
    for key, mime, *end in (re.split(";type=|;name=", output) for output in job["OutputKey"].split(",")):
        end = "." + re.sub(r"[^a-z0-9._/-]|\.\.", "_", end[0]) if end else mimetypes.guess_extension(mime) or ""
        os.makedirs(os.path.dirname(start + end), exist_ok=True)
        s3.download_file(job["OutputBucket"] or job["Bucket"], key, start + end, ExtraArgs=owner)
    return True

def collect(count, folder):
    os.mkdir(folder)  # A new one: nothing is overwritten.
    told = {}  # A job may be told twice.
    while len(told) < int(count):
        for message in sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=20).get("Messages", []):
            job = email.message_from_string(message["Body"])  # Header lines, as in mail.
            file = tuple(job[name] for name in ("InputKey", "Preset", "OriginalLocation", "OriginalFileName"))
            if job["Batch"] != batch: continue
            if file not in told: told[file] = fetch(job, os.path.join(folder, f"{len(told) + 1} "))
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    return not all(told.values())  # The exit code: 1 if a file could not be converted.

stack, command, batch, *rest = sys.argv[1:]
aws = boto3.Session(region_name=os.environ.get("AWS_REGION"))
s3, sqs, account = aws.client("s3"), aws.client("sqs"), aws.client("sts").get_caller_identity()["Account"]
bucket, owner = f"muck-{stack}-input-{account}-{aws.region_name}-an", {"ExpectedBucketOwner": account}
queue = sqs.get_queue_url(QueueName=f"muck-{stack}-{'input' if command == 'submit' else 'output'}")["QueueUrl"]
sys.exit({"submit": submit, "collect": collect}[command](*rest))
