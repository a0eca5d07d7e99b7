"""The WSGI entry point: ``granian --interface wsgi billing_project.wsgi:application``."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "billing_project.settings")

application = get_wsgi_application()

from access.checks import refuse_unsafe_production  # noqa: E402 - settings are read by now

refuse_unsafe_production()
