"""``{% load topics %}``: what a page needs to subscribe without missing anything."""

from __future__ import annotations

from django import template

from channels.topics.standing import position_for_template

register: template.Library = template.Library()


@register.simple_tag
def topic_position(topic: str) -> str:
    """Return where a topic stands: ``{% topic_position "room.7" as position %}``.

    Put it before whatever runs the page's queries, and give it to the client: what is published
    after this moment is replayed when the page subscribes.
    """
    return position_for_template(topic)
