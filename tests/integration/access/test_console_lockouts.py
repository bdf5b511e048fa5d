"""What guessing costs, and what it tells."""

from __future__ import annotations

import asyncio

from api.client_address import address_of
from api.console.lockouts import FREE, KNOWN_FOR, LONGEST_WAIT, wait_after
from api.console.sessions import LockedLogin, WrongLogin


async def test_it_is_not_said_whether_there_is_such_a_name(ming):
    answers = []
    for name in ("xiaoming", "nobody"):
        browser = ming.client("192.0.2.9")
        for _ in range(FREE["account"] + 1):
            answer = await browser.post("/console/login", json={"name": name, "password": "wrong"})
            answers.append((name, answer.status_code, answer.json(), answer.headers.get("Retry-After")))
    half = len(answers) // 2
    assert [answer[1:] for answer in answers[:half]] == [answer[1:] for answer in answers[half:]]
    assert [answer[1] for answer in answers[:half]] == [401] * FREE["account"] + [429]


async def test_an_unknown_name_costs_as_much_work_as_a_known_one(ming, monkeypatch):
    compared = []
    verify = ming.passwords._hasher.verify
    monkeypatch.setattr(
        type(ming.passwords._hasher),
        "verify",
        lambda _, stored, given: compared.append(stored) or verify(stored, given),
    )
    for name in ("xiaoming", "nobody"):
        assert isinstance(await ming.console.log_in(name, "wrong", None), WrongLogin)
    known, unknown = compared
    assert known.split("$")[:4] == unknown.split("$")[:4]


async def test_the_right_password_of_nobody_is_wrong(ming):
    assert isinstance(await ming.console.log_in("nobody", ming.password, None), WrongLogin)


async def test_after_a_few_wrong_ones_an_account_waits_longer_each_time(ming):
    for _ in range(FREE["account"] - 1):
        assert isinstance(await ming.console.log_in("xiaoming", "wrong", None), WrongLogin)
    waits = []
    for number in range(7):
        address = address_of(f"192.0.2.{number}")
        assert isinstance(await ming.console.log_in("xiaoming", "wrong", address), WrongLogin)
        locked = await ming.console.log_in("xiaoming", ming.password, address)
        assert isinstance(locked, LockedLogin)
        waits.append(locked.seconds)
        ming.clock.go(seconds=locked.seconds)
    assert waits == [30, 60, 120, 240, 480, 900, 900]


async def test_a_lock_holds_for_the_right_password_and_ends_by_itself(ming):
    for _ in range(FREE["account"]):
        await ming.console.log_in("xiaoming", "wrong", None)
    locked = await ming.console.log_in("xiaoming", ming.password, address_of("192.0.2.77"))
    assert locked == LockedLogin(seconds=30)
    ming.clock.go(seconds=30)
    assert not isinstance(await ming.console.log_in("xiaoming", ming.password, None), LockedLogin | WrongLogin)


async def test_being_told_to_wait_does_not_make_the_wait_longer(ming):
    for _ in range(FREE["account"]):
        await ming.console.log_in("xiaoming", "wrong", None)
    for _ in range(20):
        assert await ming.console.log_in("xiaoming", "wrong", None) == LockedLogin(seconds=30)


async def test_an_address_that_tries_many_names_waits(ming):
    attacker, others = address_of("2001:db8::1"), address_of("2001:db8:0:1::1")
    for number in range(FREE["address"]):
        assert isinstance(await ming.console.log_in(f"name{number}", "wrong", attacker), WrongLogin)
    assert isinstance(await ming.console.log_in("xiaoming", ming.password, attacker), LockedLogin)
    neighbour = address_of("2001:db8::ffff")
    assert isinstance(await ming.console.log_in("xiaoming", ming.password, neighbour), LockedLogin)
    assert not isinstance(await ming.console.log_in("xiaoming", ming.password, others), LockedLogin)


async def test_many_guesses_at_once_are_many(ming):
    outcomes = await asyncio.gather(
        *(ming.console.log_in("xiaoming", f"guess {number}", address_of(f"192.0.2.{number}")) for number in range(30))
    )
    assert sum(isinstance(outcome, WrongLogin) for outcome in outcomes) == FREE["account"]


async def test_a_right_one_lets_the_account_begin_anew(ming):
    for _ in range(3):
        for _ in range(FREE["account"] - 1):
            await ming.console.log_in("xiaoming", "wrong", None)
        assert not isinstance(await ming.console.log_in("xiaoming", ming.password, None), LockedLogin | WrongLogin)


HOME, ELSEWHERE = address_of("192.0.2.1"), address_of("198.51.100.1")


async def guess(doors, address):
    for _ in range(FREE["account"]):
        await doors.console.log_in("xiaoming", "wrong", address)
    return await doors.console.log_in("xiaoming", doors.password, address)


async def test_who_guesses_elsewhere_keeps_nobody_out(ming):
    await ming.console.log_in("xiaoming", ming.password, HOME)
    for _ in range(3):
        ming.clock.go(days=2)
        assert isinstance(await guess(ming, ELSEWHERE), LockedLogin)
        home = await ming.console.log_in("xiaoming", ming.password, HOME)
        assert not isinstance(home, LockedLogin | WrongLogin)


async def test_many_who_come_from_there_at_once_do_not_wait_for_each_other(ming):
    await ming.console.log_in("xiaoming", ming.password, HOME)
    for _ in range(5):
        tries = (ming.console.log_in("xiaoming", ming.password, HOME) for _ in range(FREE["account"] - 1))
        assert not any(isinstance(outcome, LockedLogin | WrongLogin) for outcome in await asyncio.gather(*tries))


async def test_guesses_wait_where_somebody_logged_in_too(ming):
    for _ in range(3):
        await ming.console.log_in("xiaoming", ming.password, HOME)
    assert await guess(ming, HOME) == LockedLogin(seconds=30)
    ming.clock.go(seconds=30)
    assert isinstance(await ming.console.log_in("xiaoming", "wrong", HOME), WrongLogin)
    assert await ming.console.log_in("xiaoming", ming.password, HOME) == LockedLogin(seconds=60)


async def test_a_wrong_password_makes_no_place_known(ming):
    assert isinstance(await guess(ming, ELSEWHERE), LockedLogin)
    assert await ming.rows("select 1 from console_lockouts where starts_with(key, 'known:')") == []


async def test_a_known_place_is_known_of_one_person(ming):
    await ming.users.add("xiaohong", ming.password, actor="cli:ops")
    await ming.console.log_in("xiaohong", ming.password, HOME)
    await guess(ming, ELSEWHERE)
    assert isinstance(await ming.console.log_in("xiaoming", ming.password, HOME), LockedLogin)


async def test_another_password_makes_every_place_new(ming):
    await ming.console.log_in("xiaoming", ming.password, HOME)
    await ming.users.change_password("xiaoming", "another password", actor="cli:ops")
    await guess(ming, ELSEWHERE)
    assert isinstance(await ming.console.log_in("xiaoming", "another password", HOME), LockedLogin)


async def test_what_is_a_day_old_is_forgotten(ming):
    for _ in range(FREE["account"] - 1):
        await ming.console.log_in("xiaoming", "wrong", None)
    ming.clock.go(days=1, seconds=1)
    for _ in range(FREE["account"] - 1):
        await ming.console.log_in("xiaoming", "wrong", None)
    assert not isinstance(await ming.console.log_in("xiaoming", ming.password, None), LockedLogin)


async def test_names_that_were_tried_once_do_not_pile_up(ming):
    for number in range(3):
        await ming.console.log_in(f"nobody{number}", "wrong", address_of(f"192.0.2.{number}"))
    ming.clock.go(days=1, seconds=1)
    await ming.console.log_in("nobody", "wrong", address_of("192.0.2.9"))
    assert len(await ming.rows("select 1 from console_lockouts")) == 2
    ming.clock.go(days=1, seconds=1)
    assert not isinstance(await ming.console.log_in("xiaoming", ming.password, address_of("192.0.2.10")), WrongLogin)
    # The address, and that it is xiaoming's.
    assert len(await ming.rows("select 1 from console_lockouts")) == 2
    ming.clock.go(days=KNOWN_FOR.days, seconds=1)
    await ming.console.log_in("nobody", "wrong", address_of("192.0.2.9"))
    assert len(await ming.rows("select 1 from console_lockouts where starts_with(key, 'known:')")) == 0


def test_waits_double_up_to_their_longest():
    assert wait_after(FREE["account"] - 1, "account").total_seconds() == 0
    assert wait_after(FREE["account"], "account").total_seconds() == 30
    assert wait_after(10_000, "account") == LONGEST_WAIT["account"]
    assert wait_after(10_000, "address") == LONGEST_WAIT["address"]


async def test_a_wrong_login_is_in_the_audit_log_without_what_was_typed(ming):
    for name in ("xiaoming", "my-pass-word"):
        await ming.console.log_in(name, "wrong-guess", address_of("192.0.2.5"))
    rows = await ming.rows(
        "select subject, detail, audit_log::text as whole from audit_log where action = 'console.login_refused'"
    )
    assert [row["subject"] for row in rows] == ["xiaoming", None]
    assert all(row["detail"] == {"address": "192.0.2.5"} for row in rows)
    assert not any("my-pass-word" in row["whole"] or "wrong-guess" in row["whole"] for row in rows)
