"""What people may type: checked by Django forms, in pages and in sockets alike."""

from __future__ import annotations

from django import forms
from django.core.exceptions import ValidationError
from django.utils.text import slugify

from chat.models import LONGEST_LINE, Room


def first_error(form: forms.Form) -> str:
    """Return what to tell the person about a form that is not valid."""
    return str(next(iter(form.errors.values()))[0])


class LineForm(forms.Form):
    """A line that somebody wants to say."""

    text = forms.CharField(
        max_length=LONGEST_LINE,
        error_messages={"required": "Type something first."},
    )


class RoomForm(forms.Form):
    """The name of a room; ``Night Watch`` becomes ``night-watch``."""

    name = forms.CharField(max_length=Room._meta.get_field("slug").max_length)

    def clean_name(self) -> str:
        """Return the name as a slug."""
        slug: str = slugify(self.cleaned_data["name"])
        if not slug:
            raise ValidationError("Use letters or digits.")
        return slug
