from typing import Any

import pytest

from tools.desk_buttons import Pressed, button_data, read_button
from tools.messages import DeskButton, DeskEvent, DeskPlace, Media
from tools.telegram_updates import parse_update

CHAT = -1001
BOT = 4242
AGENT = {"id": 9, "is_bot": False, "first_name": "小", "last_name": "王"}
FORUM = {"id": CHAT, "type": "supergroup", "title": "客服", "is_forum": True}
GROUP = {"id": CHAT, "type": "group", "title": "客服"}
TOPIC = {"chat": FORUM, "message_thread_id": 50, "is_topic_message": True}
BOT_MESSAGE = {"message_id": 70, "from": {"id": BOT, "is_bot": True, "first_name": "bot"}, "text": "card"}
CARD = {
    **BOT_MESSAGE,
    "reply_markup": {
        "inline_keyboard": [
            [{"text": "官网", "url": "https://example.com"}],
            [{"text": "发送草稿", "callback_data": "draft:t-1"}, {"text": "交还", "callback_data": "done:t-1"}],
        ]
    },
}
TOPIC_CREATED = {"message_id": 50, "forum_topic_created": {"name": "张三", "icon_color": 1}}


def said(**fields: Any) -> dict[str, Any]:
    message = {"message_id": 77, "date": 1, "from": AGENT, "chat": FORUM, **fields}
    return {"update_id": 5, "message": {key: value for key, value in message.items() if value is not None}}


def pressed(**fields: Any) -> dict[str, Any]:
    card = {**BOT_MESSAGE, **TOPIC, "date": 1}
    return {
        "update_id": 5,
        "callback_query": {"id": "c1", "from": AGENT, "message": card, "data": "done:t-1", **fields},
    }


def read(update: Any) -> DeskEvent | None:
    return parse_update(update, chat_id=CHAT, bot_id=BOT)


def test_a_text_in_a_topic_is_for_its_customer() -> None:
    assert read(said(**TOPIC, text=" 可以的 \n", reply_to_message=TOPIC_CREATED)) == DeskEvent(
        update_id=5,
        place=DeskPlace(chat_id=CHAT, topic_id=50),
        reply_to=None,
        agent="小 王",
        agent_id="9",
        action="text",
        text="可以的",
        message_id=77,
    )


@pytest.mark.parametrize("target", [TOPIC_CREATED, {"message_id": 50}])
def test_the_implicit_reply_to_a_topics_start_is_no_reply(target: dict[str, Any]) -> None:
    event = read(said(**TOPIC, text="好", reply_to_message=target))
    assert event is not None
    assert event.reply_to is None


def test_a_real_reply_in_a_topic_keeps_its_target() -> None:
    event = read(said(**TOPIC, text="好", reply_to_message=BOT_MESSAGE))
    assert event is not None
    assert (event.place.topic_id, event.reply_to) == (50, 70)


def test_a_reply_to_a_colleague_inside_a_topic_still_goes_to_the_customer() -> None:
    event = read(said(**TOPIC, text="好", reply_to_message={"message_id": 71, "from": AGENT}))
    assert event is not None
    assert (event.action, event.reply_to) == ("text", 71)


def test_a_reply_to_a_card_in_a_chat_without_topics_is_for_its_customer() -> None:
    event = read(said(chat=GROUP, text="好", reply_to_message=BOT_MESSAGE))
    assert event is not None
    assert (event.place.topic_id, event.reply_to, event.action, event.text) == (None, 70, "text", "好")


@pytest.mark.parametrize("place", [{"chat": GROUP}, TOPIC])
@pytest.mark.parametrize(
    ("content", "action"),
    [
        ({"text": "好"}, "text"),
        ({"text": "/done"}, "done"),
        ({"text": "/close"}, "close"),
        ({"photo": [{"file_id": "f"}]}, "text"),
        ({"sticker": {"file_id": "f"}}, "unsupported"),
    ],
)
def test_a_reply_to_a_card_names_its_ticket(place: dict[str, Any], content: dict[str, Any], action: str) -> None:
    event = read(said(**place, **content, reply_to_message=CARD))
    assert event is not None
    assert (event.action, event.ticket_id, event.reply_to, event.callback_id) == (action, "t-1", 70, None)


def test_a_reply_to_a_draft_names_the_draft() -> None:
    keys = [
        [{"text": "批准上线", "callback_data": "approve:12:n0"}, {"text": "不采用", "callback_data": "reject:12:0"}]
    ]
    draft = {**BOT_MESSAGE, "reply_markup": {"inline_keyboard": keys}}
    event, command = (read(said(**TOPIC, text=text, reply_to_message=draft)) for text in ("可以刻字", "/take"))
    assert event is not None
    assert command is not None
    assert (event.subject, event.ticket_id, command.subject) == ("12", None, "")


def test_the_ticket_is_read_without_the_bots_id_too() -> None:
    event = parse_update(said(**TOPIC, text="好", reply_to_message=CARD), chat_id=CHAT)
    colleagues = parse_update(said(**TOPIC, text="好", reply_to_message={**CARD, "from": AGENT}), chat_id=CHAT)
    assert event is not None
    assert colleagues is not None
    assert (event.ticket_id, colleagues.ticket_id) == ("t-1", None)


@pytest.mark.parametrize("author", [AGENT, {"id": 8, "is_bot": True, "first_name": "b"}, None, "x"])
def test_only_a_card_of_the_bots_own_names_a_ticket(author: Any) -> None:
    event = read(said(**TOPIC, text="好", reply_to_message={**CARD, "from": author}))
    assert event is not None
    assert (event.action, event.reply_to, event.ticket_id) == ("text", 70, None)


def test_what_a_topic_began_with_names_no_ticket() -> None:
    event = read(said(**TOPIC, text="好", reply_to_message={**CARD, **TOPIC_CREATED}))
    assert event is not None
    assert (event.reply_to, event.ticket_id) == (None, None)


@pytest.mark.parametrize(
    "markup",
    [
        None,
        "x",
        [],
        {},
        {"inline_keyboard": None},
        {"inline_keyboard": "draft:t-1"},
        {"inline_keyboard": {"0": []}},
        {"inline_keyboard": [None, 7, "draft:t-1", {}]},
        {"inline_keyboard": [[None, 7, "draft:t-1", [], {}]]},
        {"inline_keyboard": [[{"text": "x"}, {"callback_data": 7}, {"callback_data": ""}]]},
        {"inline_keyboard": [[{"callback_data": "vanish:t-1"}, {"callback_data": "done"}, {"callback_data": "done:"}]]},
        {"inline_keyboard": [[{"callback_data": "done:a b"}, {"callback_data": "done:\x00"}]]},
        {"inline_keyboard": [[{"callback_data": "done:" + "t" * 41}, {"callback_data": "done:t-1\n"}]]},
    ],
)
def test_a_reply_to_a_message_without_our_buttons_names_no_ticket(markup: Any) -> None:
    event = read(said(**TOPIC, text="好", reply_to_message={**BOT_MESSAGE, "reply_markup": markup}))
    assert event is not None
    assert (event.action, event.reply_to, event.ticket_id) == ("text", 70, None)


def test_a_reply_thread_is_not_a_topic() -> None:
    event = read(said(chat=GROUP, text="好", message_thread_id=70, reply_to_message=BOT_MESSAGE))
    assert event is not None
    assert event.place.topic_id is None


def test_without_the_bots_id_every_reply_counts() -> None:
    reply = said(chat=GROUP, text="好", reply_to_message={"message_id": 71, "from": AGENT})
    assert read(reply) is None
    event = parse_update(reply, chat_id=CHAT)
    assert event is not None
    assert event.reply_to == 71


@pytest.mark.parametrize(
    ("text", "action"),
    [
        ("/done", "done"),
        ("/done@kefu_bot", "done"),
        ("/DONE 谢谢", "done"),
        (" /close", "close"),
        ("/help", "help"),
        ("/start", "help"),
        ("/refund 100", "help"),
        ("/退款", "help"),
        ("/", "help"),
        ("/ done", "help"),
        ("done", "text"),
        ("1/2", "text"),
    ],
)
def test_a_slash_is_a_command_and_never_goes_to_a_customer(text: str, action: str) -> None:
    event = read(said(**TOPIC, text=text))
    assert event is not None
    assert event.action == action
    assert event.text == (text if action == "text" else "")


@pytest.mark.parametrize("kind", ["sticker", "location", "poll", "contact"])
def test_what_no_customer_can_get_is_unsupported(kind: str) -> None:
    event = read(said(**TOPIC, caption="看图", **{kind: {"file_id": "f"}}))
    assert event is not None
    assert (event.action, event.text, event.media) == ("unsupported", "", None)


FILE: dict[str, Any] = {"file_id": "f", "file_size": 7}


@pytest.mark.parametrize(
    ("fields", "media"),
    [
        pytest.param(
            {"photo": [{"file_id": "s", "width": 90, "height": 60}, {**FILE, "width": 800, "height": 600}]},
            Media(kind="image", ref="f", size=7),
            id="the largest size of a photo",
        ),
        ({"document": {**FILE, "file_name": "说明.pdf"}}, Media(kind="file", ref="f", name="说明.pdf", size=7)),
        ({"voice": FILE}, Media(kind="file", ref="f", name="voice.ogg", size=7)),
        ({"audio": {**FILE, "file_name": "a.mp3"}}, Media(kind="file", ref="f", name="a.mp3", size=7)),
        ({"video": {**FILE, "mime_type": "video/mp4"}}, Media(kind="video", ref="f", name="video.mp4", size=7)),
        ({"video": {**FILE, "mime_type": "video/webm"}}, Media(kind="file", ref="f", size=7)),
        ({"video_note": {"file_id": "f"}}, Media(kind="video", ref="f", name="video.mp4")),
        ({"animation": FILE, "document": FILE}, Media(kind="video", ref="f", name="animation.mp4", size=7)),
    ],
)
def test_a_file_goes_to_the_customer_with_what_is_written_under_it(fields: dict[str, Any], media: Media) -> None:
    event = read(said(**TOPIC, caption=" 看图 ", **fields))
    assert event is not None
    assert (event.action, event.text, event.media) == ("text", "看图", media)


@pytest.mark.parametrize(
    "fields", [{"photo": []}, {"photo": "x"}, {"photo": [3]}, {"voice": {}}, {"document": {"file_id": 3}}]
)
def test_a_file_that_cannot_be_fetched_is_unsupported(fields: dict[str, Any]) -> None:
    event = read(said(**TOPIC, **fields))
    assert event is not None
    assert (event.action, event.media) == ("unsupported", None)


def test_a_command_under_a_file_is_a_command() -> None:
    event = read(said(**TOPIC, photo=[{"file_id": "f"}], caption="/done"))
    assert event is not None
    assert (event.action, event.text, event.media) == ("done", "", None)


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"text": "早上好"}, id="chatter in General"),
        pytest.param({"text": "早上好", "chat": GROUP}, id="chatter in a group"),
        pytest.param({"photo": [{"file_id": "f"}]}, id="a photo in General"),
        pytest.param({"text": "/weather"}, id="another bot's command in General"),
        pytest.param({"text": "好", "reply_to_message": {"message_id": 71, "from": AGENT}}, id="talk among colleagues"),
        pytest.param({**TOPIC, "forum_topic_closed": {}}, id="service message"),
        pytest.param({**TOPIC, "forum_topic_created": {"name": "x"}}, id="topic created"),
        pytest.param({**TOPIC, "pinned_message": BOT_MESSAGE}, id="pinned"),
        pytest.param({"new_chat_members": [AGENT]}, id="joined"),
        pytest.param({**TOPIC, "text": "   "}, id="blank"),
        pytest.param({**TOPIC, "text": "好", "chat": {"id": -9, "type": "supergroup"}}, id="another chat"),
        pytest.param({**TOPIC, "text": "好", "from": {"id": 8, "is_bot": True, "first_name": "b"}}, id="a bot"),
        pytest.param({**TOPIC, "text": "好", "from": None}, id="nobody"),
        pytest.param({**TOPIC, "text": "好", "sender_chat": {"id": -5, "type": "channel"}}, id="a channel"),
    ],
)
def test_what_no_person_said_to_a_customer_is_ignored(fields: dict[str, Any]) -> None:
    assert read(said(**fields)) is None


@pytest.mark.parametrize(("text", "action"), [("/help", "help"), ("/done", "done"), ("/close@kefu_bot", "close")])
def test_our_commands_are_heard_outside_topics_too(text: str, action: str) -> None:
    event = read(said(text=text))
    assert event is not None
    assert (event.action, event.place.topic_id, event.reply_to) == (action, None, None)


@pytest.mark.parametrize("fields", [{"text": "可以"}, {"voice": {"file_id": "f"}}, {"text": "/weather"}])
def test_in_a_private_chat_an_answer_that_replies_to_nothing_gets_help(fields: dict[str, Any]) -> None:
    private = {"id": 9, "type": "private", "first_name": "小王"}
    event = parse_update(said(chat=private, **fields), chat_id=9, bot_id=BOT)
    assert event is not None
    assert (event.action, event.text) == ("help", "")


def test_a_service_message_in_a_private_chat_is_ignored() -> None:
    private = {"id": 9, "type": "private", "first_name": "小王"}
    assert parse_update(said(chat=private, pinned_message=BOT_MESSAGE), chat_id=9) is None


def test_an_anonymous_administrator_is_a_person() -> None:
    stand_in = {"id": 1087968824, "is_bot": True, "first_name": "Group", "username": "GroupAnonymousBot"}
    anonymous = {**TOPIC, "text": "好", "from": stand_in, "sender_chat": FORUM}
    event = read(said(**anonymous))
    signed = read(said(**anonymous, author_signature="店长"))
    assert event is not None
    assert signed is not None
    assert (event.agent, signed.agent) == ("客服", "店长")


@pytest.mark.parametrize(
    ("user", "name"),
    [
        ({"id": 9, "first_name": "小王"}, "小王"),
        ({"id": 9, "first_name": "", "username": "wang"}, "wang"),
        ({"id": 9}, "9"),
    ],
)
def test_agents_are_named(user: dict[str, Any], name: str) -> None:
    event = read(said(**{**TOPIC, "text": "好", "from": user}))
    assert event is not None
    assert (event.agent, event.agent_id) == (name, "9")


@pytest.mark.parametrize(
    ("data", "action"),
    [
        ("draft:t-1", "draft"),
        ("take:t-1", "take"),
        ("assign:t-1", "assign"),
        ("snooze:t-1", "snooze"),
        ("done:t-1", "done"),
        ("entry:t-1", "entry"),
    ],
)
def test_a_button_names_its_ticket(data: str, action: Any) -> None:
    assert read(pressed(data=data)) == DeskEvent(
        update_id=5,
        place=DeskPlace(chat_id=CHAT, topic_id=50),
        reply_to=None,
        agent="小 王",
        agent_id="9",
        action=action,
        text="",
        ticket_id="t-1",
        callback_id="c1",
        message_id=70,
    )


@pytest.mark.parametrize(
    ("data", "meaning"),
    [
        ("to:t-1:9002", ("give", "t-1", "", "9002")),
        ("ok:17", ("confirm", None, "17", "")),
        ("no:17", ("cancel", None, "17", "")),
        ("send:" + "a" * 32 + ":2", ("send", None, "a" * 32, "2")),
    ],
)
def test_a_button_says_what_it_is_about_and_what_was_chosen(data: str, meaning: tuple[str, ...]) -> None:
    event = read(pressed(data=data))
    assert event is not None
    assert (event.action, event.ticket_id, event.subject, event.target) == meaning


def test_a_button_is_read_as_it_was_written() -> None:
    button = DeskButton(action="give", label="小李", subject="t" * 40, target="9" * 19)
    assert len(button_data(button).encode()) <= 64
    assert read_button(button_data(button)) == Pressed(action="give", ticket_id="t" * 40, subject="", target="9" * 19)


@pytest.mark.parametrize(
    ("text", "action", "words"),
    [
        ("/take", "take", ""),
        ("/note 客户 很急", "note", "客户 很急"),
        ("/note", "help", ""),
        ("/kb@kefu_bot 怎么 退款?", "kb", "怎么 退款?"),
        ("/kb ", "help", ""),
        ("/history 20", "history", ""),
        ("/who", "who", ""),
        ("/mute", "mute", ""),
        ("/unmute", "unmute", ""),
    ],
)
def test_a_command_takes_the_words_it_needs(text: str, action: str, words: str) -> None:
    event = read(said(**TOPIC, text=text))
    assert event is not None
    assert (event.action, event.text) == (action, words)


@pytest.mark.parametrize(
    "fields",
    [
        {"data": "vanish:t-1"},
        {"data": "done:"},
        {"data": "done"},
        {"data": "done:\x00"},
        {"data": "done:" + "t" * 41},
        {"data": None},
        {"id": None},
        {"from": None},
        {"message": None},
        {"message": {"message_id": 1, "chat": {"id": -9, "type": "group"}}},
    ],
)
def test_a_press_that_is_not_ours_is_ignored(fields: dict[str, Any]) -> None:
    assert read(pressed(**fields)) is None


def test_an_edited_message_is_told_as_such_without_its_text() -> None:
    message = said(**TOPIC, text="改一下")["message"]
    event = read({"update_id": 5, "edited_message": message})
    assert event is not None
    assert (event.action, event.text, event.message_id, event.place.topic_id) == ("edited", "", 77, 50)


@pytest.mark.parametrize("fields", [{"from": None}, {"message_id": None}, {"chat": {"id": -9, "type": "group"}}])
def test_an_edited_message_that_is_no_person_s_here_is_ignored(fields: dict[str, Any]) -> None:
    message = said(**{**TOPIC, "text": "改一下", **fields})["message"]
    assert read({"update_id": 5, "edited_message": message}) is None


@pytest.mark.parametrize(
    "update",
    [
        {},
        None,
        [],
        "x",
        {"update_id": "5"},
        {"update_id": True, "message": {}},
        {"update_id": 5},
        {"update_id": 5, "message": None},
        {"update_id": 5, "message": []},
        {"update_id": 5, "message": {"chat": 5}},
        {"update_id": 5, "message": {"chat": {"id": CHAT}, "from": "x", "text": {}}},
        {"update_id": 5, "message": {"chat": {"id": CHAT}, "from": {"id": "9"}, "text": "好"}},
        {"update_id": 5, "message": {"chat": {"id": CHAT}, "from": AGENT, "text": ["好"], "reply_to_message": 3}},
        {"update_id": 5, "message": {**TOPIC, "message_thread_id": "50", "from": AGENT, "text": "好"}},
        {"update_id": 5, "callback_query": {"data": 7}},
        {"update_id": 5, "callback_query": "x"},
    ],
)
def test_an_unreadable_update_is_ignored(update: Any) -> None:
    assert read(update) is None
