"""What people may type: checked by Django forms, in pages and in sockets alike."""

from __future__ import annotations

from django import forms
from django.core.exceptions import ValidationError
from django.utils.text import slugify

from chat.models import LONGEST_LINE, Room


def require_storable(text: str) -> None:
    """Refuse half of a surrogate pair, which JSON can carry and no database can store."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValidationError("This text holds a broken character.") from error


def first_error(form: forms.Form) -> str:
    """Return what to tell the person about a form that is not valid."""
    return str(next(iter(form.errors.values()))[0])


class LineForm(forms.Form):
    """A line that a browser asks us to say."""

    ref = forms.UUIDField()
    text = forms.CharField(
        max_length=LONGEST_LINE,
        validators=[require_storable],
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
