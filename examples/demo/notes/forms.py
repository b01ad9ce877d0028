"""The form that writes a note."""

from __future__ import annotations

from django import forms
from django.contrib.auth.models import User

from notes.models import Note


class NoteForm(forms.ModelForm):
    """A recipient and a text."""

    recipient = forms.ModelChoiceField(
        User.objects.order_by("username"), label="To", empty_label="Choose somebody"
    )

    class Meta:
        model = Note
        fields = ["recipient", "text"]
        labels = {"text": "Note"}
        widgets = {"text": forms.TextInput(attrs={"autocomplete": "off"})}
