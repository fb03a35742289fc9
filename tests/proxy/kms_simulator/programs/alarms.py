"""Evaluates the alarms of deploy/connect.md with boto3 against the metrics of the simulator. The shell commands of that page create them."""

import datetime
import json
import operator
import subprocess

import boto3
from botocore.config import Config
from botocore.validate import ParamValidator

from steps import FACTS, run, step, until

COMPARISONS = {"GreaterThanThreshold": operator.gt, "LessThanThreshold": operator.lt}
# The separator of recorded CLI calls. A zero byte separates arguments.
END = "\x01"


def cloudwatch():
    return boto3.client(
        "cloudwatch",
        endpoint_url=FACTS["url"],
        region_name=FACTS["region"],
        aws_access_key_id=FACTS["account"],
        aws_secret_access_key="any secret does",
        config=Config(retries={"total_max_attempts": 1}),
    )


def commands():
    """Returns the shell commands of the page that create alarms."""
    with open(FACTS["page"], encoding="utf-8") as page:
        blocks = [part.split("```", 1)[0] for part in page.read().split("```sh\n")[1:]]
    found = [text for text in blocks if "put-metric-alarm" in text]
    assert len(found) == 1, f"{len(found)} blocks make alarms"
    return found[0]


def alarms():
    """Returns the parameters of each PutMetricAlarm."""
    script = f"aws() {{ printf '%s\\0' \"$@\"; printf '{END}'; }}\n{commands()}"
    environment = {"PATH": "/usr/bin:/bin:/usr/local/bin", "STORE": "payments", "CKS": FACTS["store"], "TOPIC": "arn:aws:sns:eu-west-1:111122223333:t"}
    ran = subprocess.run(["bash", "-eu", "-c", script], env=environment, capture_output=True, text=True, check=True)
    return [parameters(call.rstrip("\0").split("\0")) for call in ran.stdout.split(END)[:-1]]


def parameters(words):
    assert words[:2] == ["cloudwatch", "put-metric-alarm"], words
    options = dict(zip(words[2::2], words[3::2], strict=True))
    made = {
        "AlarmName": options.pop("--alarm-name"),
        "ComparisonOperator": options.pop("--comparison-operator"),
        "Threshold": float(options.pop("--threshold")),
        "EvaluationPeriods": int(options.pop("--evaluation-periods")),
        "TreatMissingData": options.pop("--treat-missing-data"),
        "AlarmActions": [options.pop("--alarm-actions")],
        "Metrics": json.loads(options.pop("--metrics")),
    }
    assert not options, options
    shape = cloudwatch().meta.service_model.operation_model("PutMetricAlarm").input_shape
    errors = ParamValidator().validate(made, shape)
    assert not errors.has_errors(), errors.generate_report()
    return made


def values(alarm):
    now = datetime.datetime.now(datetime.timezone.utc)
    minutes = datetime.timedelta(minutes=1)
    answer = cloudwatch().get_metric_data(
        MetricDataQueries=alarm["Metrics"], StartTime=now - 30 * minutes, EndTime=now + minutes
    )
    assert len(answer["MetricDataResults"]) == 1, answer
    result = answer["MetricDataResults"][0]
    assert result["StatusCode"] == "Complete" and len(result["Timestamps"]) == len(result["Values"]), result
    assert all(abs(now - time) < 40 * minutes for time in result["Timestamps"]), result
    return result["Values"]


def fires(alarm):
    compare = COMPARISONS[alarm["ComparisonOperator"]]
    return any(compare(value, alarm["Threshold"]) for value in values(alarm))


def by_name():
    found = {alarm["AlarmName"].removeprefix("xks-payments-"): alarm for alarm in alarms()}
    assert set(found) >= {"retryable", "final", "latency", "certificate", "hsm", "throttle"}, found
    return found


@step
def each_alarm_fires_as_requested():
    found = by_name()
    for name in FACTS["quiet"]:
        assert not fires(found[name]), f"{name} fires: {values(found[name])}"
    for name in FACTS["with_data"]:
        assert values(found[name]), f"{name} has no data"
    expected = found if FACTS["all_fire"] else {}
    for name, alarm in expected.items():
        until(f"alarm {name} fires: {alarm}", lambda alarm=alarm: fires(alarm))


@step
def metrics_have_their_documented_dimensions():
    watch, now = cloudwatch(), datetime.datetime.now(datetime.timezone.utc)
    documented = {
        "XksProxyLatency": {"CustomKeyStoreId", "KeySpec", "KmsOperation", "XksOperation"},
        "XksProxyErrors": {"CustomKeyStoreId", "ErrorType", "ExceptionName", "KeySpec", "KmsOperation", "XksOperation"},
        "XksProxyCertificateDaysToExpire": {"CustomKeyStoreId", "CertificateName"},
        "XksProxyCredentialAge": {"CustomKeyStoreId"},
        "XksExternalKeyManagerStates": {"CustomKeyStoreId", "XksExternalKeyManagerState"},
    }
    if FACTS["all_fire"]:
        documented["ExternalKeyStoreThrottle"] = {"CustomKeyStoreId", "KeySpec", "KmsOperation"}
    for name, dimensions in documented.items():
        metrics = watch.list_metrics(Namespace="AWS/KMS", MetricName=name)["Metrics"]
        assert metrics, f"no {name}"
        for metric in metrics:
            assert {dimension["Name"] for dimension in metric["Dimensions"]} == dimensions, metric
        stat = {"Metric": metrics[0], "Period": 60, "Stat": "Maximum"}
        answer = watch.get_metric_data(
            MetricDataQueries=[{"Id": "m", "MetricStat": stat}],
            StartTime=now - datetime.timedelta(minutes=30),
            EndTime=now + datetime.timedelta(minutes=1),
        )
        assert answer["MetricDataResults"][0]["Values"], f"{name}: {answer}"


run("alarms")
