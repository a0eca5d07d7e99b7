"""`manage.py up`: web server, workers and beat in one terminal."""

import os
import secrets
import signal
import time
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connection

from billing_project.services import HOST, ServiceError, Services, beat, only_one, port_is_free, web, worker

LOGIN_FILE = "admin_login"


class Command(BaseCommand):
    help = "Run the web server, two workers and the scheduler until Ctrl-C. PORT=8000."

    def handle(self, *args: Any, **options: Any) -> None:
        port = _port()
        try:
            with only_one(
                settings.HOME / "up.lock",
                "Holdfast is running already from this folder: use it, or stop it with Ctrl-C in its terminal.",
            ):
                self._run(port)
        except ServiceError as error:
            raise CommandError(str(error)) from None

    def _run(self, port: int) -> None:
        if not port_is_free(port):
            raise ServiceError(
                f"Port {port} is in use by another program: choose another, such as PORT={port + 1} make up."
            )
        call_command("migrate", verbosity=0)
        login = first_login()
        # Children open connections of their own; ours would only lie idle.
        connection.close()
        with Services(settings.BASE_DIR, settings.HOME / "logs", echo=True) as services:
            services.start("web", web(port))
            services.start("worker", worker(2))
            services.start("beat", beat())
            services.wait_ready(f"http://{HOST}:{port}/readyz")
            self._greet(port, login)
            stop = False

            def ask_to_stop(*_: object) -> None:
                nonlocal stop
                stop = True

            signal.signal(signal.SIGTERM, ask_to_stop)
            signal.signal(signal.SIGINT, ask_to_stop)
            while not stop:
                services.check()
                time.sleep(0.3)
            self.stdout.write("\nStopping …")
        self.stdout.write("Stopped. The embedded database and broker go on; `make stop` stops them too.")

    def _greet(self, port: int, login: str) -> None:
        root = f"http://{HOST}:{port}"
        lines = [
            "",
            f"  Holdfast is up.      Admin  {root}/admin/",
            f"                       API    {root}/v1/docs",
            f"                       Ready  {root}/readyz",
            f"  {login}",
            "  An API key:          .venv/bin/python manage.py create_api_key NAME --scopes admin",
            "  Ctrl-C stops everything.",
            "",
        ]
        self.stdout.write("\n".join(lines))


def _port() -> int:
    text = os.environ.get("PORT", "8000")
    if not text.isdigit() or not 0 < int(text) < 65536:
        raise CommandError(f"PORT={text} is no port: give a number from 1 to 65535.")
    return int(text)


def first_login() -> str:
    """The line that tells how to log in; makes a first administrator where there is none."""
    users = get_user_model()
    path = settings.HOME / LOGIN_FILE
    if not users.objects.filter(is_superuser=True).exists():
        password = secrets.token_urlsafe(12)
        users.objects.create_superuser("admin", password=password)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(fd, "w") as handle:
            handle.write(password + "\n")
        return f"First login:         admin / {password}   (kept in {path}; change it in the admin)"
    return f"Log in as the administrator you made{f' (first password: {path})' if path.exists() else ''}."
