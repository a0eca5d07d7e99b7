"""The admin's login form, which says what went wrong."""

from django.core.exceptions import ValidationError
from unfold.forms import AuthenticationForm

WRONG = "This name and password do not go together, or the account is no member of staff's. Both mind capitals."


class LoginForm(AuthenticationForm):
    """One answer to unknown names, wrong passwords and accounts that are deactivated or not of staff; another, the same
    for all of them, where no further try may be made.
    """

    error_messages = AuthenticationForm.error_messages | {"invalid_login": WRONG, "inactive": WRONG}

    def get_invalid_login_error(self) -> ValidationError:
        until = getattr(self.request, "locked_until", None)
        if until is None:
            return super().get_invalid_login_error()
        return ValidationError(locked(until), code="locked")


def locked(until: object) -> str:
    return (
        f"Too many wrong passwords, for this name or from this address: none is looked at before {until:%H:%M:%S} UTC. "
        "An owner can unlock the account."
    )
