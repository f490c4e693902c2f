"""What an object store's error means to a person, and what to do about it.

obstore's texts carry the whole exchange, over many lines; of these only the service's own code and message
are shown. Neither holds a secret.
"""

from __future__ import annotations

import re

_NO_BUCKET = re.compile(r"NoSuchBucket|ContainerNotFound|bucket does not exist|container does not exist")
_CODE = re.compile(r"<Code>([^<]{1,80})</Code>")
_MESSAGE = re.compile(r"<Message>([^<]{1,200})</Message>")
_STATUS = re.compile(r"status code: (\d{3} [A-Za-z ]+)")

_CREDENTIALS = {
    "s3": "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION",
    "gs": "GOOGLE_SERVICE_ACCOUNT or GOOGLE_APPLICATION_CREDENTIALS",
    "az": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
}
_ENDPOINT = {"s3": "AWS_ENDPOINT_URL", "gs": "the network", "az": "AZURE_STORAGE_ENDPOINT"}

_REFUSED = re.compile(
    r"SignatureDoesNotMatch|InvalidAccessKeyId|AccessDenied|AuthenticationFailed|AuthorizationFailure"
    r"|AuthorizationHeaderMalformed|ExpiredToken|InvalidToken|status code: 40[13]"
)
_NO_CREDENTIALS = re.compile(r"169\.254\.|metadata\.google|instance metadata|MissingAccount|Account must be")
_WITHOUT_TLS = re.compile(r"BadScheme|builder error")
_CAUSES = (
    (re.compile(r"Connection refused"), "nobody listens there"),
    (re.compile(r"dns error|failed to lookup"), "its name is not known"),
    (re.compile(r"certificate|UnknownIssuer|InvalidCertificate"), "its certificate is not trusted"),
    (re.compile(r"timed out|TimedOut|Timeout|deadline"), "it does not answer in time"),
)


def is_without_bucket(error: Exception) -> bool:
    """Whether it says that the bucket itself, not the object, is missing."""
    return _NO_BUCKET.search(str(error)) is not None


def meaning(error: Exception, scheme: str) -> str:
    """The error as a clause that ends with the remedy."""
    text = str(error)
    if is_without_bucket(error):
        return "there is no such bucket: create it, or mend BATCH_STORE"
    if _NO_CREDENTIALS.search(text):
        return f"there are no credentials for it: set {_CREDENTIALS[scheme]}"
    code = _CODE.search(text)
    if _REFUSED.search(text):
        return f"it refuses the credentials{f' ({code[1]})' if code else ''}: check {_CREDENTIALS[scheme]}"
    if code is not None:
        message = _MESSAGE.search(text)
        return code[1] + (f" ({message[1].strip().rstrip('.')})" if message else "")
    if _WITHOUT_TLS.search(text):
        return "its endpoint is http: give an https one, or trust the network by AWS_ALLOW_HTTP=true"
    for pattern, cause in _CAUSES:
        if pattern.search(text):
            return f"it cannot be reached ({cause}): check {_ENDPOINT[scheme]}, and that it runs"
    status = _STATUS.search(text)
    said = (text.strip() or type(error).__name__).splitlines()[0].rpartition(" - ")[2]
    return status[1].strip() if status else said[:200].rstrip(".")
