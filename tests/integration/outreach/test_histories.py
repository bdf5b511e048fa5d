"""Random histories of a shop, in real rows: whatever happens in whatever order, no rule is broken."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from zoneinfo import ZoneInfo

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

SHANGHAI = ZoneInfo("Asia/Shanghai")
CUSTOMERS = ("wmA", "wmB")
CAP = 4

EMPTY = (
    "delete from outreach_targets",
    "delete from outreach_tasks",
    "delete from outreach_campaigns",
    "delete from outbox",
    "delete from inbox",
    "delete from friends",
    "delete from conversations",
)

customers = st.sampled_from(CUSTOMERS)
steps = st.one_of(
    st.tuples(st.just("pass"), st.sampled_from([1, 5, 11, 14, 26, 50])),
    st.tuples(st.just("run"), st.none()),
    st.tuples(st.just("plan"), st.none()),
    st.tuples(st.just("deliver"), st.none()),
    st.tuples(st.just("confirm"), st.none()),
    st.tuples(st.just("write"), customers),
    st.tuples(st.just("out"), customers),
    st.tuples(st.just("in"), customers),
    st.tuples(st.just("answers"), st.tuples(customers, st.integers(1, 5))),
    st.tuples(st.just("befriend"), customers),
    st.tuples(st.just("leave"), customers),
)
between = st.one_of(
    st.just(("pass", 11)),
    st.tuples(st.just("out"), customers),
    st.tuples(st.just("answers"), st.tuples(customers, st.integers(1, 5))),
)
# What matters most: something happens between the plan and the sending.
episodes = st.builds(
    lambda customer, happens: [("write", customer), *happens[:1], ("plan", None), *happens[1:], ("deliver", None)],
    customers,
    st.lists(between, max_size=3),
)
histories = st.lists(st.one_of(steps.map(lambda step: [step]), episodes), min_size=4, max_size=12).map(
    lambda parts: [step for part in parts for step in part]
)


class History:
    """Plays one history and keeps what a customer would have seen of it."""

    def __init__(self, marketing) -> None:
        self.marketing = marketing
        self.plans = 0
        self.opted_out: set[str] = set()
        self.last: dict[str, object] = {}
        self.used: Counter[str] = Counter()
        self.seen = 0
        self.sends: list[tuple[str, object, str]] = []

    async def play(self, kind: str, value: object) -> None:
        await getattr(self, f"_{kind}")(value)
        self._look()

    async def _pass(self, hours: int) -> None:
        self.marketing.clock.forward(hours=hours)

    async def _run(self, _: None) -> None:
        await self._confirm(None)
        await self.marketing.run()
        await self.marketing.outreach.look()

    async def _plan(self, _: None) -> None:
        """Rows are written and wait."""
        self.plans += 1
        await self.marketing.make(f"c{self.plans}", text=f"第{self.plans}次活动")
        await self.marketing.outreach.runner.run()

    async def _deliver(self, _: None) -> None:
        await self.marketing.deliver()

    async def _confirm(self, _: None) -> None:
        # People confirm when they please; they are asked to in the day.
        if not self.marketing.outreach.runner.law.quiet.is_quiet(self.marketing.clock.now):
            self.marketing.sim.contacts.messages.confirm("zhangsan")

    async def _write(self, customer: str, text: str = "在吗") -> None:
        await self.marketing.writes(customer, text)
        self.last[customer], self.used[customer] = self.marketing.clock.now, 0

    async def _out(self, customer: str) -> None:
        await self._write(customer, "退订")
        self.opted_out.add(customer)

    async def _in(self, customer: str) -> None:
        await self._write(customer, "订阅")
        self.opted_out.discard(customer)

    async def _answers(self, value: tuple[str, int]) -> None:
        """The bot says something, as far as the channel lets it."""
        customer, wanted = value
        if self.last.get(customer):
            self.used[customer] = min(5, self.used[customer] + wanted)
            await self.marketing.works.run(
                "update conversations set units_used = %s where customer_id = %s", self.used[customer], customer
            )

    async def _befriend(self, customer: str) -> None:
        if ("zhangsan", customer) not in self.marketing.sim.contacts.friendships:
            await self.marketing.works.run("delete from friends where external_userid = %s", customer)
            await self.marketing.befriend(customer)

    async def _leave(self, customer: str) -> None:
        self.marketing.sim.contacts.friendships.pop(("zhangsan", customer), None)
        await self.marketing.works.run(
            "update friends set left_at = now(), left_by = 'customer' where external_userid = %s", customer
        )

    def _look(self) -> None:
        """Judge what went out since the last look."""
        sent = self.marketing.works.channel.sent
        for outbound in sent[self.seen :]:
            customer, now = outbound.customer_id, self.marketing.clock.now
            assert customer not in self.opted_out
            assert 9 <= now.astimezone(SHANGHAI).hour < 21
            assert now - self.last[customer] < timedelta(hours=48)
            self.used[customer] += 1
            # The answer to it still fits.
            assert self.used[customer] <= 4
            self.sends.append((customer, now, outbound.text))
        self.seen = len(sent)
        for task in self.marketing.sim.contacts.messages.tasks.values():
            created = self.marketing.clock.now.fromtimestamp(task.created, SHANGHAI)
            assert 9 <= created.hour < 21

    def judge(self) -> None:
        """Judge the whole of it."""
        asked = [
            (customer, task.text, task.confirmed_at)
            for task in self.marketing.sim.contacts.messages.tasks.values()
            for customer, status in task.customers.items()
            if status == 1 or task.confirmed_at is None
        ]
        texts = [(customer, text.partition("\n")[0]) for customer, _, text in self.sends]
        texts += [(customer, text) for customer, text, _ in asked]
        assert len(texts) == len(set(texts)), "twice"
        days = Counter((customer, at.astimezone(SHANGHAI).date()) for customer, at, _ in self.sends)
        assert max(days.values(), default=0) <= 1
        months = Counter((customer, day.year, day.month) for customer, day in days)
        assert max(months.values(), default=0) <= CAP


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    database=None,
)
@given(history=histories)
async def test_no_history_breaks_a_rule(marketing, history):
    for statement in EMPTY:
        await marketing.works.run(statement)
    marketing.works.channel.sent.clear()
    messages = marketing.sim.contacts.messages
    messages.tasks.clear()
    marketing.sim.contacts.friendships.clear()
    clock, quiet = marketing.clock, marketing.outreach.runner.law.quiet
    clock.now = quiet.ends_at(clock.now + timedelta(days=1))
    played = History(marketing)
    for customer in CUSTOMERS:
        # Whoever opted out in an earlier history is back in this one.
        await played.play("in", customer)
    for kind, value in history:
        await played.play(kind, value)
    await played.play("run", None)
    played.judge()
