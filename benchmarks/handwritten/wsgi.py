"""What the web server runs."""

import os

from django.core.wsgi import get_wsgi_application

# Whoever starts our processes names our own settings.
os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.handwritten.settings"
application = get_wsgi_application()
