"""Has IAM policies judged by two public linters; needs no network.

stdin:  JSON list of {"name": …, "kind": "identity" | "trust" | "bucket" | "queue", "policy": …}
stdout: JSON list of {"name": …, "linter": …, "rule": …, "detail": …}, all findings of any severity

parliament knows which resources and condition keys go with an action; cfn-lint has the newer table of actions and
a schema for each kind of policy. Both are pinned in requirements.txt.
"""

import json
import sys

import cfnlint.api
import parliament

# cfn-lint reads templates: the policy stands where a stack of CloudFormation would have it.
TEMPLATES = {
    "identity": lambda policy: (
        "AWS::IAM::ManagedPolicy",
        {"PolicyDocument": policy},
    ),
    "trust": lambda policy: ("AWS::IAM::Role", {"AssumeRolePolicyDocument": policy}),
    "bucket": lambda policy: (
        "AWS::S3::BucketPolicy",
        {"Bucket": "some-bucket", "PolicyDocument": policy},
    ),
    "queue": lambda policy: (
        "AWS::SQS::QueuePolicy",
        {
            "Queues": ["https://sqs.eu-west-1.amazonaws.com/123456789012/some-queue"],
            "PolicyDocument": policy,
        },
    ),
}


def by_parliament(policy, _kind):
    analysed = parliament.analyze_policy_string(
        json.dumps(policy), ignore_private_auditors=True
    )
    return [
        ("parliament", finding.issue, str(finding.detail))
        for finding in analysed.findings
    ]


def by_cfn_lint(policy, kind):
    resource, properties = TEMPLATES[kind](policy)
    template = {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Resources": {"Policy": {"Type": resource, "Properties": properties}},
    }
    return [
        ("cfn-lint", match.rule.id, match.message)
        # Errors and warnings; what is informational is about templates.
        for match in cfnlint.api.lint(json.dumps(template), config={"regions": ["us-east-1"]})
    ]


def main():
    findings = []
    for entry in json.load(sys.stdin):
        for linter in (by_parliament, by_cfn_lint):
            for name, rule, detail in linter(entry["policy"], entry["kind"]):
                findings.append(
                    {
                        "name": entry["name"],
                        "linter": name,
                        "rule": rule,
                        "detail": detail,
                    }
                )
    json.dump(findings, sys.stdout, indent=1)


main()
