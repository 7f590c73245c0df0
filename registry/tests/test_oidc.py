"""Trusted publishing: uv's real flow over TLS; attacks 13 and 14 beside the tokens that are taken."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from clients import BIN, build, make_project, run
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from dists import make_account, make_wheel, put
from ldt_registry import accounts, audit, namespaces, oidc, organisations, publishers, schema
from ldt_registry.checkers import Checkers
from ldt_registry.commands import registry as command
from ldt_registry.database import now
from ldt_registry.oidc import Keys, mint
from ldt_registry.problems import Conflict, Forbidden, Malformed, Problem, Refused, Unauthenticated
from ldt_registry.registry import Registry
from ldt_registry.tokens import Identity, authenticate, operator
from outside import GITHUB, GITLAB, Issuer, place, trusting
from servers import Served
from test_people import person

ADMIN = operator("test")
HEAT = {
    "repository_owner_id": "65",
    "repository_id": "74",
    "workflow": "release.yml",
    "environment": "release",
}


@pytest.fixture(params=["sqlite"])
def database(request: pytest.FixtureRequest) -> str:
    """What depends on the database says so by itself."""
    return str(request.param)


both = pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)


@pytest.fixture
def issuer(certificate: Any) -> Iterator[Issuer]:
    with Issuer(certificate) as made:
        made.claims = dict(GITHUB)
        yield made


@pytest.fixture
def trusted(registry: Registry, issuer: Issuer) -> Registry:
    """The registry, which knows the issuer as a GitHub."""
    made = trusting(registry, place(issuer.url))
    publishers.add_issuer(made, ADMIN, issuer.url, "github")
    return made


@pytest.fixture
def ann(trusted: Registry) -> Identity:
    return person(trusted, "ann")


@pytest.fixture
def keys(trusted: Registry) -> Keys:
    return Keys(trusted)


def shown(registry: Registry, keys: Keys, token: str) -> Identity:
    return authenticate(registry, f"Bearer {mint(registry, keys, token)[0]}")


def refusal(registry: Registry, keys: Keys, token: str) -> str:
    """The code with which a token is refused, or nothing where it is taken."""
    try:
        mint(registry, keys, token)
    except Problem as exc:
        assert exc.status == 422
        assert exc.more["errors"][0]["code"] == exc.code
        return exc.code
    return ""


@both
def test_a_pending_publisher_makes_its_project_and_publishes_on(
    trusted: Registry, keys: Keys, issuer: Issuer, ann: Identity, checkers: Checkers
) -> None:
    publishers.add(trusted, ann, "heat-load", issuer.url, HEAT)
    with pytest.raises(Conflict, match="kept for a trusted publisher"):
        put(trusted, checkers, person(trusted, "eve"), make_wheel())
    first = shown(trusted, keys, issuer.token())
    assert first.scopes == ("create:heat-load",)
    assert put(trusted, checkers, first, make_wheel()).new
    assert put(trusted, checkers, first, make_wheel(tag="py3-none-win32")).new
    with pytest.raises(Forbidden):
        put(trusted, checkers, first, make_wheel(version="2.0"), version="2.0")
    second = shown(trusted, keys, issuer.token())
    assert second.scopes == ("upload:heat-load",)
    assert put(trusted, checkers, second, make_wheel(version="2.0"), version="2.0").new
    with pytest.raises(Forbidden):
        put(trusted, checkers, second, make_wheel("wind-rose"), name="wind-rose")
    (told,) = publishers.listed(trusted)
    assert (told["project"], told["pending_name"], told["not_after"]) == ("heat-load", None, None)
    with trusted.database.read() as connection:
        entries = list(audit.read(connection))
        actions = [e["action"] for e in entries]
        owner = connection.scalar(sa.select(schema.project.c.account_id))
    assert actions.count("token-minted") == 2
    assert "publisher-added" in actions
    assert owner == ann.account_id
    publishers.remove(trusted, ann, told["id"])
    with pytest.raises(Unauthenticated):
        put(trusted, checkers, second, make_wheel(version="3.0"), version="3.0")
    assert refusal(trusted, keys, issuer.token()) == "no-publisher"


def _pem(key: Any) -> bytes:
    return bytes(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )


def _hmac_with_the_public_key(issuer: Issuer) -> str:
    """Algorithm confusion: made by hand, since the library refuses to."""
    import hashlib
    import hmac

    good = issuer.token().split(".")
    header = base64.urlsafe_b64encode(b'{"alg":"HS256","kid":"first","typ":"JWT"}').rstrip(b"=").decode()
    signed = f"{header}.{good[1]}".encode()
    mac = hmac.new(_pem(issuer.key), signed, hashlib.sha256).digest()
    return f"{signed.decode()}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def _unsigned(issuer: Issuer) -> str:
    header = base64.urlsafe_b64encode(b'{"alg":"none","kid":"first"}').rstrip(b"=").decode()
    return f"{header}.{issuer.token().split('.')[1]}."


OTHER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
FORGED = {
    "another key": lambda i: i.token(key=OTHER),
    "another key, named in the header": lambda i: i.token(
        key=OTHER, header={"jku": f"{i.url}/evil", "x5u": f"{i.url}/evil", "jwk": i.jwk(OTHER, "x")}
    ),
    "the public key as a secret": _hmac_with_the_public_key,
    "no signature": _unsigned,
    "an algorithm that is not said": lambda i: i.token(alg="RS512"),
    "changed after it was signed": lambda i: (
        lambda a, b, c: f"{a}.{b[:-4]}{'AAAA' if b[-4:] != 'AAAA' else 'BBBB'}.{c}"
    )(*i.token().split(".")),
    "another audience": lambda i: i.token(aud="pypi"),
    "several audiences": lambda i: i.token(aud=["ldt-registry", "pypi"]),
    "no audience": lambda i: i.token(aud=None),
    "over": lambda i: i.token(exp=int(time.time()) - 60),
    "without an end": lambda i: i.token(exp=None),
    "of next year": lambda i: i.token(exp=int(time.time()) + 3e7),
    "not yet": lambda i: i.token(nbf=int(time.time()) + 120),
    "made in the future": lambda i: i.token(iat=int(time.time()) + 120),
    "without an id": lambda i: i.token(jti=None),
    "with an id that is a number": lambda i: i.token(jti=7),
    "with an empty id": lambda i: i.token(jti=""),
    "without a subject": lambda i: i.token(sub=None),
    "another issuer": lambda i: i.token(iss="https://token.actions.githubusercontent.com"),
    "an issuer with a slash": lambda i: i.token(iss=f"{i.url}/"),
    "no issuer": lambda i: i.token(iss=None),
    "nonsense": lambda i: "a.b.c",
    "empty": lambda i: "",
    "too long": lambda i: i.token(sub="x" * 20_000),
    "deep": lambda i: base64.urlsafe_b64encode(b"[" * 5000).decode().rstrip("=") + ".e30.x",
}


@pytest.mark.parametrize("forged", FORGED)
def test_a_forged_token_is_refused(
    trusted: Registry, keys: Keys, issuer: Issuer, ann: Identity, forged: str
) -> None:
    """Attack 13; the same token, not forged, is taken."""
    publishers.add(trusted, ann, "heat-load", issuer.url, HEAT)
    assert refusal(trusted, keys, FORGED[forged](issuer)) in ("invalid-token", "unknown-issuer")
    assert "/evil" not in issuer.asked
    assert refusal(trusted, keys, issuer.token()) == ""


@both
def test_of_twenty_equal_tokens_at_once_one_is_taken(
    trusted: Registry, keys: Keys, issuer: Issuer, ann: Identity
) -> None:
    """Attack 13: replay."""
    publishers.add(trusted, ann, "heat-load", issuer.url, HEAT)
    token = issuer.token()
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: refusal(trusted, keys, token), range(20)))
    assert sorted(answers) == [""] + ["reused-token"] * 19
    oidc.forget(trusted)
    assert refusal(trusted, keys, token) == "reused-token", "as long as it could be used"
    with trusted.database.write() as connection:
        connection.execute(
            sa.update(schema.oidc_jti).values(keep_until=now(connection) - timedelta(seconds=1))
        )
    oidc.forget(trusted)
    with trusted.database.read() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(schema.oidc_jti)) == 0


@pytest.mark.parametrize(
    ("said", "taken"),
    [
        ({}, True),
        (
            {
                "repository": "new-town/warmth",
                "repository_owner": "new-town",
                "job_workflow_ref": "new-town/warmth/.github/workflows/release.yml@refs/tags/v1",
            },
            True,
        ),  # renamed
        ({"environment": "Release"}, True),
        ({"repository_id": "75"}, False),  # the name was taken over by another repository
        ({"repository_owner_id": "66"}, False),
        ({"job_workflow_ref": "old-town/heat/.github/workflows/test.yml@refs/heads/main"}, False),
        ({"job_workflow_ref": "evil/shared/.github/workflows/release.yml@refs/heads/main"}, False),
        ({"job_workflow_ref": "old-town/heat/.github/workflows/release.yml"}, True),
        ({"job_workflow_ref": "old-town/heat/.github/workflows/x/release.yml@refs/heads/main"}, False),
        ({"job_workflow_ref": None}, False),
        ({"environment": None}, False),
        ({"environment": "test"}, False),
        ({"repository_id": ["74"]}, False),
        ({"repository_id": 74}, True),
        ({"repository_id": True}, False),
    ],
)
def test_a_job_is_known_by_numbers_and_its_file(
    trusted: Registry, keys: Keys, issuer: Issuer, ann: Identity, said: dict[str, Any], taken: bool
) -> None:
    publishers.add(trusted, ann, "heat-load", issuer.url, HEAT)
    assert refusal(trusted, keys, issuer.token(**said)) == ("" if taken else "no-publisher")


def test_the_owner_at_an_issuer_proves_a_namespace_while_jobs_publish(
    trusted: Registry, keys: Keys, issuer: Issuer, ann: Identity, checkers: Checkers
) -> None:
    """Attack 8: the third proof, beside the two of a domain."""
    organisations.make(trusted, ann, "town", "ann")

    def claim(prefix: str, **said: Any) -> str:
        try:
            oidc.claim_namespace(trusted, keys, ann, prefix, "town", issuer.token(**said))
        except Problem as exc:
            return exc.code
        return ""

    assert claim("new-town") == claim("old") == claim("old-townhall") == "wrong-owner"
    assert (
        claim("old-town", repository_owner="old-town/x")
        == claim("old-town", repository_owner=None)
        == "wrong-owner"
    )
    assert claim("old-town", aud="pypi") == "invalid-token"
    assert claim("numpy", repository_owner="numpy") == "name-reserved"
    token = issuer.token(repository_owner="Old_Town")
    oidc.claim_namespace(trusted, keys, ann, "old-town", "town", token)
    with pytest.raises(Refused, match="used before"):
        oidc.claim_namespace(trusted, keys, ann, "old-town", "town", token)
    with pytest.raises(Conflict, match="held by an organisation"):
        put(trusted, checkers, person(trusted, "eve"), make_wheel("old-town-heat"), name="old-town-heat")

    def let_pass(days: int) -> None:
        with trusted.database.write() as connection:
            ends = connection.execute(sa.select(schema.namespace.c.not_after)).scalar_one()
            connection.execute(sa.update(schema.namespace).values(not_after=ends - timedelta(days=days)))

    publishers.add(trusted, ann, "old-town-heat", issuer.url, HEAT)
    for _ in range(2):
        let_pass(80)
        assert refusal(trusted, keys, issuer.token()) == "", "a job that publishes renews it"
    assert namespaces.recheck(trusted) == 0
    let_pass(91)
    assert namespaces.recheck(trusted) == 1
    assert namespaces.listed(trusted)[0]["state"] == "expired"


def test_names_alone_do_not_make_a_publisher(trusted: Registry, issuer: Issuer, ann: Identity) -> None:
    for claims in (
        {"repository": "old-town/heat", "workflow": "release.yml"},
        {},
        HEAT | {"repository_id": ""},
    ):
        with pytest.raises(Malformed, match="taken over"):
            publishers.add(trusted, ann, "heat-load", issuer.url, claims)
    with pytest.raises(Problem):
        publishers.add(trusted, ann, "requests", issuer.url, HEAT)
    publishers.add(trusted, ann, "heat-load", issuer.url, HEAT)
    with pytest.raises(Conflict):
        publishers.add(trusted, person(trusted, "eve"), "heat-load", issuer.url, HEAT)
    with pytest.raises(Forbidden):
        publishers.remove(trusted, person(trusted, "mallory"), publishers.listed(trusted)[0]["id"])
    with pytest.raises(Forbidden):
        publishers.add_issuer(trusted, ann, "https://evil.example.org", "generic")
    for url in (
        "http://a.example.org",
        "https://a.example.org/",
        "https://u:p@a.example.org",
        "a",
        "https://a.org?x",
    ):
        with pytest.raises(Malformed):
            publishers.add_issuer(trusted, ADMIN, url, "generic")


def test_a_name_is_kept_for_a_pending_publisher_for_thirty_days(
    trusted: Registry, keys: Keys, issuer: Issuer, ann: Identity, checkers: Checkers
) -> None:
    publishers.add(trusted, ann, "heat-load", issuer.url, HEAT)
    waiting = shown(trusted, keys, issuer.token())
    with trusted.database.write() as connection:
        connection.execute(
            sa.update(schema.publisher).values(not_after=now(connection) - timedelta(seconds=1))
        )
    assert refusal(trusted, keys, issuer.token()) == "no-publisher"
    oidc.forget(trusted)
    assert publishers.listed(trusted) == []
    with pytest.raises(Unauthenticated):
        put(trusted, checkers, waiting, make_wheel())
    assert put(trusted, checkers, person(trusted, "ben"), make_wheel()).new


def test_a_project_may_be_left_to_its_pipeline(
    trusted: Registry, keys: Keys, issuer: Issuer, ann: Identity, checkers: Checkers
) -> None:
    import dataclasses

    strict = dataclasses.replace(trusted, settings=trusted.settings.model_copy(update={"trusted_only": True}))
    put(strict, checkers, ann, make_wheel())
    publishers.add(strict, ann, "heat-load", issuer.url, HEAT)
    with pytest.raises(Forbidden, match="trusted publisher only"):
        put(strict, checkers, ann, make_wheel(version="2.0"), version="2.0")
    job = shown(strict, keys, issuer.token())
    assert put(strict, checkers, job, make_wheel(version="2.0"), version="2.0").new


@pytest.mark.parametrize("change", ["nothing", "removed", "issuer removed", "suspended"])
def test_a_job_that_is_trusted_no_more_publishes_nothing_that_is_under_way(
    trusted: Registry, keys: Keys, issuer: Issuer, ann: Identity, checkers: Checkers, change: str
) -> None:
    from test_races import meddled

    put(trusted, checkers, ann, make_wheel())
    number = publishers.add(trusted, ann, "heat-load", issuer.url, HEAT)
    job = shown(trusted, keys, issuer.token())

    def meddle() -> None:
        match change:
            case "removed":
                publishers.remove(trusted, ann, number)
            case "issuer removed":
                publishers.remove_issuer(trusted, ADMIN, issuer.url)
            case "suspended":
                accounts.set_state(trusted, ADMIN, "ann", "suspended")

    try:
        done = put(meddled(trusted, meddle), checkers, job, make_wheel(version="2.0"), version="2.0").new
    except (Unauthenticated, Forbidden):
        done = False
    assert done == (change == "nothing")


def test_unknown_keys_lead_to_one_question_a_minute(trusted: Registry, issuer: Issuer, ann: Identity) -> None:
    """Attack 14."""
    at = 0.0
    keys = Keys(trusted, lambda: at)
    publishers.add(trusted, ann, "heat-load", issuer.url, HEAT)
    for n in range(30):
        assert refusal(trusted, keys, issuer.token(kid=f"unknown-{n}")) == "unknown-key"
    assert issuer.asked == ["/.well-known/openid-configuration", "/jwks"]
    assert refusal(trusted, keys, issuer.token()) == ""
    new = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    issuer.shown.append(issuer.jwk(new, "second"))
    assert refusal(trusted, keys, issuer.token(key=new, kid="second")) == "unknown-key"
    at += 61
    assert refusal(trusted, keys, issuer.token(key=new, kid="second")) == "", (
        "a new key is found after a minute"
    )
    assert len(issuer.asked) == 4
    del issuer.shown[0]
    at += 3601
    assert refusal(trusted, keys, issuer.token()) == "unknown-key", "a key that was withdrawn, after an hour"
    issuer.described = {}
    at += 3601
    assert refusal(trusted, keys, issuer.token(key=new, kid="second")) == "", "the issuer is away for a while"
    at += 86400
    assert refusal(trusted, keys, issuer.token(key=new, kid="second")) == "bad-issuer"


@pytest.mark.parametrize(
    "described",
    [
        {"jwks_uri": "https://127.0.0.1:1/jwks"},
        {"jwks_uri": "http://169.254.169.254/latest/"},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": ["x"]},
        {"jwks_uri": None},
        {"issuer": "https://token.actions.githubusercontent.com"},
    ],
)
def test_an_issuer_names_keys_of_its_own_host_only(
    trusted: Registry, keys: Keys, issuer: Issuer, described: dict[str, Any]
) -> None:
    """Attack 14: discovery leads nowhere else."""
    issuer.described |= described
    assert refusal(trusted, keys, issuer.token()) == "bad-issuer"
    assert issuer.asked == ["/.well-known/openid-configuration"]


def test_an_issuer_that_nobody_added_is_never_asked(registry: Registry, issuer: Issuer) -> None:
    """Attack 14: neither is one in a private network that the operator does not trust."""
    asking = trusting(registry, place(issuer.url))
    assert refusal(asking, Keys(asking), issuer.token()) == "unknown-issuer"
    publishers.add_issuer(registry, ADMIN, issuer.url, "github")
    with pytest.raises(Refused, match="could not be read"):
        mint(registry, Keys(registry), issuer.token())
    assert issuer.asked == []


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")  # the test makes such a key
def test_only_keys_that_sign_are_taken(trusted: Registry, keys: Keys, issuer: Issuer) -> None:
    small = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    curve = ec.generate_private_key(ec.SECP256R1())
    issuer.shown += [
        issuer.jwk(small, "small"), issuer.jwk(OTHER, "sealing", use="enc"), issuer.jwk(OTHER, "longer", alg="RS512"),
        {"kty": "oct", "k": "c2VjcmV0", "kid": "shared"}, {"kid": "empty"}, issuer.jwk(curve, "curve"), "nonsense",
    ]  # fmt: skip
    for kid, key in (("small", small), ("sealing", OTHER), ("longer", OTHER)):
        assert refusal(trusted, keys, issuer.token(key=key, kid=kid)) == "unknown-key"
    assert refusal(trusted, keys, issuer.token(key=curve, kid="curve", alg="ES256")) == "invalid-token"
    assert refusal(trusted, keys, issuer.token(key=OTHER, kid="curve")) == "unknown-key"
    publishers.remove_issuer(trusted, ADMIN, issuer.url)
    publishers.add_issuer(trusted, ADMIN, issuer.url, "generic", ("ES256",))
    publishers.add(trusted, person(trusted, "ann"), "heat-load", issuer.url, {"sub": GITHUB["sub"]})
    assert refusal(trusted, keys, issuer.token(key=curve, kid="curve", alg="ES256")) == ""
    assert refusal(trusted, keys, issuer.token()) == "invalid-token"


@pytest.mark.parametrize(
    ("said", "taken"),
    [
        ({}, True),
        ({"project_id": "8"}, False),
        ({"namespace_id": "5"}, False),
        ({"ci_config_ref_uri": "{host}/old-town/heat//other.yml@refs/heads/main"}, False),
        ({"ci_config_ref_uri": "{host}/evil/heat//.gitlab-ci.yml@refs/heads/main"}, False),
        ({"ref_protected": "false"}, False),
    ],
)
def test_a_gitlab_of_the_city_is_known_by_its_claims(
    registry: Registry, issuer: Issuer, said: dict[str, str], taken: bool
) -> None:
    trusted = trusting(registry, place(issuer.url))
    publishers.add_issuer(trusted, ADMIN, issuer.url, "gitlab")
    uri = "{host}/old-town/heat//.gitlab-ci.yml@refs/heads/main"
    issuer.claims = GITLAB | {"ci_config_ref_uri": uri}
    wanted = {"namespace_id": "6", "project_id": "7", "workflow": ".gitlab-ci.yml", "ref_protected": "true"}
    publishers.add(trusted, person(trusted, "ann"), "heat-load", issuer.url, wanted)
    claims = {k: v.replace("{host}", place(issuer.url)) for k, v in (issuer.claims | said).items()}
    assert refusal(trusted, Keys(trusted), issuer.token(**claims)) == ("" if taken else "no-publisher")


@pytest.mark.parametrize("where", ["github", "gitlab"])
def test_uv_publishes_from_a_pipeline_without_a_secret(
    registry: Registry, issuer: Issuer, authority: Path, checkers: Checkers, tmp_path: Path, where: str
) -> None:
    trusted = trusting(registry, place(issuer.url))
    publishers.add_issuer(trusted, ADMIN, issuer.url, where)
    wanted = dict(HEAT)
    env = {
        "GITHUB_ACTIONS": "true",
        "ACTIONS_ID_TOKEN_REQUEST_URL": f"{issuer.url}/token?x=1",
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "x",
    }
    if where == "gitlab":
        issuer.claims = GITLAB | {
            "ci_config_ref_uri": f"{place(issuer.url)}/old-town/heat//.gitlab-ci.yml@main"
        }
        wanted = {"namespace_id": "6", "project_id": "7", "workflow": ".gitlab-ci.yml"}
    publishers.add(trusted, person(trusted, "ann"), "night-noise", issuer.url, wanted)
    folder = make_project(tmp_path / "night-noise", "night-noise")
    build(folder, tmp_path / "home")
    served = Served(trusted, checkers, authority / "localhost.pem")
    try:

        def publish() -> Any:
            if where == "gitlab":
                env.clear()
                env.update({"GITLAB_CI": "true", "LDT_REGISTRY_ID_TOKEN": issuer.token()})
            command = [
                BIN / "uv",
                "publish",
                "--trusted-publishing",
                "always",
                "--publish-url",
                f"{served.address}/legacy/",
            ]
            return run(
                command, cwd=folder, home=tmp_path / "home", SSL_CERT_FILE=str(authority / "ca.pem"), **env
            )

        for _ in range(2):
            done = publish()
            assert done.returncode == 0, done.stderr
        page = httpx.get(
            f"{served.address}/simple/night-noise/",
            headers={"Accept": "application/vnd.pypi.simple.v1+json"},
            verify=issuer_context(authority),
        )
        assert len(page.json()["files"]) == 2
        oidc_asked = [(m, p, s) for m, p, s in served.asked if p.startswith("/_/")]
        one = [
            ("GET", "/_/oidc/audience", 200),
            ("POST", "/_/oidc/mint-token", 200),
            ("POST", "/_/oidc/burn-token", 200),
        ]
        assert oidc_asked == one * 2
        with trusted.database.read() as connection:
            assert all(
                connection.scalars(
                    sa.select(schema.token.c.revoked_at).where(schema.token.c.publisher_id.is_not(None))
                )
            ), "burnt"
        issuer.claims |= {"repository_id": "99", "project_id": "99"}
        failed = publish()
        assert failed.returncode != 0
        assert "No project trusts this job" in failed.stderr
    finally:
        served.close()


def issuer_context(authority: Path) -> Any:
    import ssl

    return ssl.create_default_context(cafile=str(authority / "ca.pem"))


def test_the_commands_trust_and_tell(registry: Registry, capsys: pytest.CaptureFixture[str]) -> None:
    home = ["--json", "--home", str(registry.settings.home)]
    make_account(registry, "ann")
    assert command(["issuer", "add", "github", *home]) == 0
    claims = [w for k, v in HEAT.items() for w in ("--claim", f"{k}={v}")]
    assert (
        command(["publisher", "add", "heat-load", "--issuer", "github", "--account", "ann", *claims, *home])
        == 0
    )
    capsys.readouterr()
    assert command(["publisher", "list", *home]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["pending_name"], said["claims"], said["account"]) == ("heat-load", HEAT, "ann")
    assert (
        command(["publisher", "add", "x-y", "--issuer", "github", "--account", "ann", "--claim", "x", *home])
        == 1
    )
    assert command(["publisher", "remove", str(said["id"]), *home]) == 0
    assert command(["issuer", "remove", "github", *home]) == 0
    capsys.readouterr()
    assert command(["issuer", "list", *home]) == 0
    assert capsys.readouterr().out == ""
