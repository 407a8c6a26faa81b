"""Rules and verdicts: what a session may reach, and the words for why not."""

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clsecure.choices import Network
from clsecure.egress.addresses import why_not_public
from clsecure.egress.names import Host, parse_host
from clsecure.egress.rules import Policy, parse_rule
from clsecure.errors import ExitCode, UserError

PUBLIC = ip_address("8.8.8.8")
LABELS = st.text("abcxyz019-_", min_size=1, max_size=6).filter(lambda x: x.strip("-") == x)
NAMES = st.lists(LABELS, min_size=1, max_size=3).map(lambda parts: ".".join([*parts, "example"]))


def policy(*allow, level=Network.FILTERED, api=None, deny=()):
    made = Policy(level, map(parse_rule, allow), api)
    for rule in deny:
        made.deny(parse_rule(rule))
    return made


def judge(made, host, port=443):
    return made.judge(parse_host(host), port)


def judge_addresses(made, host, *addresses, port=443):
    return made.judge_addresses(parse_host(host), port, map(ip_address, addresses))


class TestParsing:
    @pytest.mark.parametrize(
        ("text", "canonical"),
        [
            ("Example.ORG.", "example.org"),
            ("example.org:443", "example.org:443"),
            ("*.Example.org", "*.example.org"),
            ("*.example.org:22", "*.example.org:22"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("localhost:3000", "localhost:3000"),
            ("10.1.2.3", "10.1.2.3"),
            ("10.1.2.3:5432", "10.1.2.3:5432"),
            ("10.1.0.0/16", "10.1.0.0/16"),
            ("10.0.0.0/8:5432", "10.0.0.0/8:5432"),
            ("2001:DB8:0::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:443", "[2001:db8::1]:443"),
            ("[fd00::/8]:443", "[fd00::/8]:443"),
            ("fd00::/8", "fd00::/8"),
            ("::ffff:10.0.0.1", "10.0.0.1"),
        ],
    )
    def test_canonical(self, text, canonical):
        rule = parse_rule(text)
        assert rule.text == canonical
        assert parse_rule(canonical) == rule

    @pytest.mark.parametrize("text", ["*", "*.com", "*.com.", "*:443", "*.", "*.localhost:80"])
    def test_a_whole_network_of_names_is_refused(self, text):
        self.too_wide(text)

    @pytest.mark.parametrize("text", ["0.0.0.0/0", "::/0", "10.0.0.0/7:80", "[2000::/3]:443"])
    def test_a_whole_network_of_addresses_is_refused(self, text):
        self.too_wide(text)

    def too_wide(self, text):
        with pytest.raises(UserError) as caught:
            parse_rule(text)
        assert caught.value.code is ExitCode.USAGE
        assert "too wide" in caught.value.message
        assert "--allow-network" in caught.value.hint

    @pytest.mark.parametrize(
        "text",
        [
            *("", ":80", "example.org:0", "example.org:", "example.org:70000", "a b", "a\nb"),
            *("https://example.org", "example.org/path", "user@example.org", "a.*.example.org"),
            *("**.example.org", "*example.org", "*.*.org", "*.10.0.0.1", "127.1", "0x7f.1"),
            *("10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/255.0.0.0", "10.0.0.0/٨"),
            *("fd00::1/8", "fe80::1%eth0", "[10.0.0.1]:80", "[fd00::1", "[fd00::1]80", "::1:99999"),
            *("example.org/8", "::ffff:10.0.0.0/104", "*.fd00::1", "@pip", "exa\x1b[31mmple"),
        ],
    )
    def test_refused(self, text):
        with pytest.raises(UserError) as caught:
            parse_rule(text)
        assert caught.value.code is ExitCode.USAGE
        assert caught.value.hint
        assert caught.value.message.isprintable()


class TestNames:
    def test_a_name_without_a_port_is_every_port_of_this_host_alone(self):
        made = policy("example.org")
        assert judge(made, "example.org", 443).allowed
        assert judge(made, "example.org", 22).allowed
        for other in ("www.example.org", "example.org.evil.test", "notexample.org", "org"):
            assert judge(made, other) == (False, "", "not on the allow-list")

    def test_a_port_is_that_port(self):
        made = policy("example.org:443")
        assert judge(made, "example.org", 443) == (True, "example.org:443", "on the allow-list")
        assert not judge(made, "example.org", 80).allowed

    def test_a_suffix_is_the_names_below(self):
        made = policy("*.example.org")
        assert judge(made, "a.example.org").rule == "*.example.org"
        assert judge(made, "b.a.example.org").allowed
        assert not judge(made, "example.org").allowed
        assert not judge(made, "aexample.org").allowed

    def test_deny_beats_allow_and_the_api(self):
        api = (parse_host("api.example.org"), 443)
        made = policy("*.example.org", "bad.example.org", api=api, deny=["bad.example.org"])
        assert judge(made, "bad.example.org") == (False, "bad.example.org", "on the deny-list")
        assert judge(made, "good.example.org").allowed
        assert judge(made, "api.example.org").rule == "api"
        made.deny(parse_rule("*.example.org"))
        assert not judge(made, "good.example.org").allowed
        assert not judge(made, "api.example.org").allowed

    def test_rules_change_while_it_runs(self):
        made = policy()
        rule = parse_rule("example.org")
        assert not judge(made, "example.org").allowed
        made.allow(rule)
        assert judge(made, "example.org").allowed
        made.deny(rule)
        assert not judge(made, "example.org").allowed
        made.allow(rule)
        assert judge(made, "example.org").allowed
        made.deny(parse_rule("*.example.org"))
        made.allow(parse_rule("a.example.org"))
        assert not judge(made, "a.example.org").allowed

    def test_an_address_rule_says_nothing_about_names(self):
        assert not judge(policy("8.0.0.0/8"), "example.org").allowed


class TestLevels:
    def test_none_is_nothing(self):
        api = (parse_host("api.example.org"), 443)
        made = policy("example.org", level=Network.NONE, api=api)
        for host in ("example.org", "api.example.org", "8.8.8.8"):
            assert judge(made, host) == (False, "", "no network in this session")
            assert not judge_addresses(made, host, "8.8.8.8").allowed

    def test_filtered_is_rules_and_the_api(self):
        made = policy(api=(parse_host("api.example.org"), 443))
        assert judge(made, "api.example.org") == (True, "api", "the agent's API")
        assert not judge(made, "api.example.org", 80).allowed
        assert not judge(made, "8.8.8.8").allowed

    def test_open_is_every_name_and_public_address(self):
        made = policy(level=Network.OPEN, deny=["bad.example.org", "9.9.9.0/24"])
        assert judge(made, "example.org", 25) == (True, "", "the network is open")
        assert judge(made, "8.8.8.8", 53).allowed
        assert judge_addresses(made, "example.org", "8.8.8.8", "2606:4700::1").allowed
        assert not judge(made, "bad.example.org").allowed
        assert not judge(made, "9.9.9.9").allowed
        assert not judge_addresses(made, "example.org", "9.9.9.9").allowed
        assert judge(made, "127.0.0.1").reason == "a loopback address, not on the allow-list"
        assert judge(made, "::ffff:10.0.0.1").reason == "a private address, not on the allow-list"
        assert judge(made, "fe80::1").reason == "a link-local address, not on the allow-list"


class TestAddresses:
    def test_every_address_must_be_public(self):
        made = policy("example.org")
        assert judge_addresses(made, "example.org", "8.8.8.8", "2606:4700::1").allowed
        assert judge_addresses(made, "example.org", "8.8.8.8", "127.0.0.1") == (
            False,
            "",
            "resolves to a loopback address",
        )
        assert judge_addresses(made, "example.org", "0.0.0.0").reason == (
            "resolves to an unspecified address"
        )
        assert judge_addresses(made, "example.org", "169.254.169.254").reason == (
            "resolves to a metadata address"
        )

    def test_no_address(self):
        assert judge_addresses(policy("example.org"), "example.org") == (False, "", "no address")

    def test_good_addresses_do_not_help_a_name_that_is_not_allowed(self):
        verdict = judge_addresses(policy("10.0.0.0/8"), "example.org", "10.0.0.1")
        assert verdict.reason == "not on the allow-list"

    def test_a_private_address_must_be_listed_with_its_port(self):
        made = policy("example.org", "10.1.0.0/16:5432")
        assert judge_addresses(made, "example.org", "10.1.2.3", port=5432).allowed
        assert judge_addresses(made, "example.org", "10.1.2.3", "8.8.8.8", port=5432).allowed
        assert not judge_addresses(made, "example.org", "10.1.2.3", port=443).allowed
        assert not judge_addresses(made, "example.org", "10.2.2.3", port=5432).allowed
        assert not judge_addresses(made, "example.org", "10.1.2.3", "10.2.2.3", port=5432).allowed

    def test_listing_the_name_does_not_list_its_address(self):
        for level in (Network.FILTERED, Network.OPEN):
            made = policy("localhost", "intra.test", level=level)
            assert judge(made, "localhost").allowed
            assert not judge_addresses(made, "localhost", "127.0.0.1").allowed
            assert not judge_addresses(made, "intra.test", "192.168.1.1").allowed

    def test_an_address_asked_for_directly(self):
        made = policy("10.1.2.3:5432", "8.8.8.8", "fd00::/8")
        assert judge(made, "10.1.2.3", 5432).rule == "10.1.2.3:5432"
        assert judge(made, "::ffff:10.1.2.3", 5432).allowed
        assert judge(made, "8.8.8.8").allowed
        assert judge(made, "fd00::1").allowed
        assert judge_addresses(made, "10.1.2.3", "10.1.2.3", port=5432).allowed
        assert not judge(made, "10.1.2.3", 22).allowed
        assert judge(made, "9.9.9.9").reason == "not on the allow-list"

    @pytest.mark.parametrize("text", ["64:ff9b::a01:203", "64:ff9b:1::a01:203", "2002:a01:203::1"])
    def test_a_translated_or_tunnelled_address_is_not_the_listed_one(self, text):
        made = policy("example.org", "10.1.2.3", level=Network.OPEN)
        assert judge_addresses(made, "example.org", "10.1.2.3").allowed
        assert not judge_addresses(made, "example.org", text).allowed
        made.allow(parse_rule(text))
        assert judge_addresses(made, "example.org", text).allowed
        made.deny(parse_rule("10.1.2.3"))
        assert not judge_addresses(made, "example.org", text).allowed

    def test_the_api_may_be_anywhere(self):
        for name, address in (("api.test", "10.0.0.1"), ("localhost", "::1")):
            made = policy(api=(parse_host(name), 8080))
            assert judge_addresses(made, name, address, port=8080).allowed
            made.allow(parse_rule(name))
            assert judge(made, name, 8081).allowed
            assert not judge_addresses(made, name, address, port=8081).allowed
            assert judge_addresses(policy("example.org"), "example.org", address).allowed is False

    def test_an_api_given_by_address(self):
        made = policy(api=(parse_host("127.0.0.1"), 8080))
        assert judge(made, "127.0.0.1", 8080) == (True, "api", "the agent's API")
        assert judge_addresses(made, "127.0.0.1", "127.0.0.1", port=8080).allowed
        assert not judge(made, "127.0.0.1", 80).allowed
        made.allow(parse_rule("example.org"))
        assert not judge_addresses(made, "example.org", "127.0.0.1", port=8080).allowed

    def test_a_denied_address_is_denied_to_every_name(self):
        api = (parse_host("api.test"), 443)
        made = policy("example.org", "8.8.8.8", api=api, deny=["8.8.8.0/24"])
        for host in ("example.org", "api.test", "8.8.8.8"):
            assert judge_addresses(made, host, "8.8.8.8") == (
                False,
                "8.8.8.0/24",
                "on the deny-list",
            )
        assert not judge_addresses(made, "example.org", "64:ff9b::808:808").allowed

    def test_a_metadata_address_is_listed_alone_or_not_at_all(self):
        assert not judge(policy("169.254.0.0/16"), "169.254.169.254", 80).allowed
        assert judge(policy("169.254.0.0/16"), "169.254.1.1", 80).allowed
        assert judge(policy("169.254.169.254"), "169.254.169.254", 80).allowed
        assert not judge(policy("fd00::/8"), "fd00:ec2::254", 80).allowed
        assert not judge(policy("168.0.0.0/8"), "168.63.129.16", 80).allowed


ADDRESSES = st.integers(0, 2**32 - 1).map(IPv4Address) | st.integers(0, 2**128 - 1).map(IPv6Address)
NEAR = st.sampled_from(
    [*map(ip_address, ("127.0.0.1", "::1", "10.0.0.1", "169.254.169.254", "::ffff:127.0.0.1"))]
)


@given(NAMES, NAMES, st.booleans(), st.sampled_from([None, 80, 443]), st.sampled_from([80, 443]))
def test_a_name_is_allowed_by_its_rule_only(name, ruled, is_suffix, port, asked):
    if is_suffix and "." not in ruled:
        return
    rule = ("*." if is_suffix else "") + ruled + (f":{port}" if port else "")
    matches = name.endswith("." + ruled) if is_suffix else name == ruled
    assert judge(policy(rule), name, asked).allowed == (matches and port in {None, asked})
    assert not judge(policy(rule, deny=[rule]), name, asked).allowed


@given(st.lists(ADDRESSES | NEAR, min_size=1, max_size=4), st.sampled_from(list(Network)))
def test_without_an_address_rule_nothing_private_is_ever_reached(addresses, level):
    made = policy("example.org", level=level)
    verdict = made.judge_addresses(Host(name="example.org"), 443, addresses)
    if verdict.allowed:
        assert level is not Network.NONE
        assert not any(map(why_not_public, addresses))
    for address in addresses:
        if made.judge(Host(address=address), 443).allowed:
            assert level is Network.OPEN
            assert why_not_public(address) == ""
