"""Settings, all from the environment, with defaults that run on one machine.

With ``DATABASE_URL`` and ``REDIS_URL`` unset, the project starts its own PostgreSQL and Redis
(`billing_project.embedded`) under ``HOLDFAST_HOME`` (default ``.local/`` beside manage.py). docs/operations.md lists
every variable.
"""

import os
import sys
from email.utils import parseaddr
from pathlib import Path

import environ
from celery.schedules import crontab
from django.core.exceptions import ImproperlyConfigured
from django.templatetags.static import static

from invoicing.domain.second_person import limits_of
from payments.domain.dunning import days_of

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()
TESTING = "pytest" in sys.modules

HOME = Path(env.str("HOLDFAST_HOME", str(BASE_DIR / ".local"))).resolve()
# production | development: production refuses defaults that only suit a laptop (see access.checks).
ENVIRONMENT = env.str("HOLDFAST_ENV", "development")
DEBUG = env.bool("HOLDFAST_DEBUG", False)

# --- Secrets: given by the environment, else made once and kept in HOME (mode 0600). ---------------------------------


def _local_secret(name: str) -> str:
    """A random secret kept in ``HOME``; the first process to need it makes it, the others read it."""
    import secrets

    path = HOME / name
    HOME.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Written aside and linked into place, so that a second process never reads half a secret.
    fresh = path.with_name(f"{name}.{os.getpid()}.{secrets.token_hex(4)}")
    if not path.exists():
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "w") as handle:
            handle.write(secrets.token_urlsafe(48))
        try:
            os.link(fresh, path)
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    return path.read_text().strip()


SECRET_KEY = env.str("HOLDFAST_SECRET_KEY", "") or _local_secret("secret_key")
# API keys are stored as HMAC-SHA256 under this pepper, so a copy of the database alone verifies no key.
API_KEY_PEPPER = env.str("HOLDFAST_API_KEY_PEPPER", "") or SECRET_KEY
ALLOWED_HOSTS = env.list("HOLDFAST_ALLOWED_HOSTS", default=["127.0.0.1", "localhost", "[::1]", "testserver"])
CSRF_TRUSTED_ORIGINS = env.list("HOLDFAST_CSRF_TRUSTED_ORIGINS", default=[])

# --- Database and broker: named by the environment, else our own. -----------------------------------------------------


def _database() -> dict:
    if env.str("DATABASE_URL", ""):
        config = env.db_url("DATABASE_URL")
        options = config.setdefault("OPTIONS", {})
        # `?host=/socket/dir` parses into OPTIONS; HOST must carry it too, or `dbshell` misses it.
        if not config.get("HOST") and options.get("host"):
            config["HOST"] = options.pop("host")
    else:
        from billing_project import embedded

        address = embedded.ensure_postgres(HOME, cluster="test" if TESTING else "main", durable=not TESTING)
        config = {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": address.dbname,
            "USER": address.user,
            "HOST": address.host,
            "PORT": str(address.port),
            "OPTIONS": {},
        }
    config["ATOMIC_REQUESTS"] = False
    config["CONN_MAX_AGE"] = 0 if TESTING else env.int("HOLDFAST_CONN_MAX_AGE", 600)
    config["CONN_HEALTH_CHECKS"] = True
    # Never read civil time in SQL: sessions speak UTC, local dates are worked out in Python with the pinned tzdata.
    config["TIME_ZONE"] = "UTC"
    return config


DATABASES = {"default": _database()}

if env.str("REDIS_URL", ""):
    REDIS_URL = env.str("REDIS_URL")
    CELERY_BROKER_URL = env.str("CELERY_BROKER_URL", REDIS_URL.replace("unix://", "redis+socket://", 1))
else:
    from billing_project import embedded as _embedded

    _redis = _embedded.ensure_redis(HOME, cluster="test" if TESTING else "main")
    REDIS_URL = _redis.client_url
    CELERY_BROKER_URL = _redis.broker_url
    if TESTING:
        # Test processes that run side by side purge queues and flush caches: each has a Redis database of its own.
        _number = int(env.str("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 16
        REDIS_URL, CELERY_BROKER_URL = f"{REDIS_URL}?db={_number}", f"{CELERY_BROKER_URL}?virtual_host={_number}"

CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        # Nothing waits long for what is only a wake-up flag.
        "OPTIONS": {"socket_timeout": 2, "socket_connect_timeout": 1},
    }
}

# --- Django -----------------------------------------------------------------------------------------------------------

INSTALLED_APPS = [
    # Before unfold, whose front page it replaces.
    "workplace",
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django.contrib.postgres",
    "django_otp",
    "django_otp.plugins.otp_totp",
    "django_otp.plugins.otp_static",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "access",
    "webhooks",
    "contracts",
    "outcomes",
    "settlement",
    "invoicing",
    "payments",
    "handover",
    "portal",
    "simulation",
    "workbench",
    "billing_project",
]

MIDDLEWARE = [
    "access.middleware.RequestIdMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "outcomes.api.express.ExpressMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "access.sessions.SessionLifeMiddleware",
    "django_otp.middleware.OTPMiddleware",
    "access.second_factor.SecondFactorMiddleware",
    "access.proof.ProofMiddleware",
    "access.trail.TrailMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "billing_project.urls"
WSGI_APPLICATION = "billing_project.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

AUTHENTICATION_BACKENDS = ["access.guesses.StaffBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = True
FORMAT_MODULE_PATH = ["billing_project.formats"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

STATIC_URL = "/static/"
STATIC_ROOT = HOME / "static"
STATIC_ROOT.mkdir(parents=True, exist_ok=True)
# Static files are served from the apps themselves: no collectstatic step stands between a clone and a working admin.
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = False

# The hot path reads bodies of up to 8 MiB; Django's own limit is raised above ours, so that 413 comes in our error
# shape.
DATA_UPLOAD_MAX_MEMORY_SIZE = 16 * 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = 10_000

SECURE_CONTENT_TYPE_NOSNIFF = True
X_FRAME_OPTIONS = "DENY"
CSRF_FAILURE_VIEW = "portal.views.csrf_failure"
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SESSION_ENGINE = "access.sessions"
# Staff are signed out after half an hour without a request. Customers of the portal have no session of this kind.
SESSION_COOKIE_AGE = 30 * 60
SESSION_SAVE_EVERY_REQUEST = True
SESSION_EXPIRE_AT_BROWSER_CLOSE = True
LOGIN_REDIRECT_URL = "admin:index"
if ENVIRONMENT == "production":
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True
    SECURE_SSL_REDIRECT = env.bool("HOLDFAST_SSL_REDIRECT", True)
    SECURE_HSTS_SECONDS = env.int("HOLDFAST_HSTS_SECONDS", 31_536_000)
    SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    SECURE_HSTS_PRELOAD = True
    # Health checks come from inside, without TLS.
    SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$"]
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

# --- API --------------------------------------------------------------------------------------------------------------

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["access.authentication.ApiKeyAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["access.permissions.HasScope"],
    "DEFAULT_PARSER_CLASSES": ["access.parsers.StrictJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["access.renderers.JSONRenderer"],
    "DEFAULT_PAGINATION_CLASS": "access.pagination.CursorPagination",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "access.errors.exception_handler",
    "COERCE_DECIMAL_TO_STRING": True,
    "UNAUTHENTICATED_USER": None,
    # `?format=` is a parameter like any other: unknown, and refused.
    "URL_FORMAT_OVERRIDE": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Holdfast",
    "DESCRIPTION": "Outcome-native billing: bill what held.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_AUTHENTICATION": [],
    "SERVE_PERMISSIONS": [],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SCHEMA_PATH_PREFIX": "/v1",
    # Choices that several components share, or whose field has a name that others have too.
    "ENUM_NAME_OVERRIDES": {
        "ClockStatusEnum": ["ready", "advancing"],
        "DeliveryStatusEnum": "webhooks.models.Delivery.Status",
        "DisputeStatusEnum": "settlement.models.Dispute.Status",
        "EndpointStatusEnum": ["enabled", "failing", "disabled"],
        "FeeKindEnum": ["recurring", "one_off", "seats"],
        "FeeTimingEnum": ["advance", "arrears"],
        "ImportStatusEnum": ["open", "closed"],
        "InboxStatusEnum": "outcomes.models.InboxItem.Status",
        "LateEvidencePolicyEnum": ["reverse", "review", "ignore"],
        "LineKindEnum": "invoicing.models.InvoiceLine.Kind",
        "OperationKindEnum": "payments.models.Operation.Kind",
        "OperationStatusEnum": "payments.models.Operation.Status",
        "OutcomeStateEnum": "outcomes.models.State",
        "PortalLinkStatusEnum": ["active", "expired", "revoked"],
        "ShadowStatusEnum": "simulation.models.Shadow.Status",
        "SimulationStatusEnum": "simulation.models.Simulation.Status",
        "StripeModeEnum": ["live", "test"],
    },
}

# --- Work in the background -------------------------------------------------------------------------------------------

CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_SERIALIZER = "json"
CELERY_TASK_IGNORE_RESULT = True
# A message is only a wake-up call (the work list is in PostgreSQL), so it is acknowledged late and may come twice.
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_MAX_TASKS_PER_CHILD = 2000
CELERY_TASK_SOFT_TIME_LIMIT = 300
CELERY_TASK_TIME_LIMIT = 330
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 600,
    "socket_timeout": 5,
    "socket_connect_timeout": 2,
    # Whoever rings does not wait for a broker that is away; the workers' own reconnecting is not meant by this.
    "max_retries": 0,
}
CELERY_BEAT_SCHEDULE_FILENAME = str(HOME / "celerybeat-schedule")
CELERY_TIMEZONE = "UTC"
CELERY_WORKER_HIJACK_ROOT_LOGGER = False

# What a lost message missed, a sweep finds. Seconds between sweeps.
CELERY_BEAT_SCHEDULE = {
    "evaluate what waits": {"task": "outcomes.evaluate_waiting", "schedule": 5.0},
    "settle what is due": {"task": "settlement.settle_due", "schedule": 2.0},
    "make the next months' partitions": {"task": "outcomes.ensure_months", "schedule": 6 * 3600.0},
    "sweep idempotency": {"task": "access.sweep_idempotency", "schedule": 3600.0},
    "sweep sessions and guesses": {"task": "access.sweep_staff", "schedule": 3600.0},
    "bill what ended": {"task": "invoicing.bill_due", "schedule": 300.0},
    # One that was not taken in time is no use: the next does its work.
    "deliver webhooks": {"task": "webhooks.deliver_due", "schedule": 2.0, "options": {"expires": 10}},
    "find unfinished simulations": {"task": "simulation.sweep", "schedule": 30.0, "options": {"expires": 25}},
    "delete old simulations": {"task": "simulation.delete_old", "schedule": crontab(hour=4, minute=7)},
    "sweep webhooks": {"task": "webhooks.sweep", "schedule": 3600.0},
    "refresh the front page": {"task": "workplace.refresh", "schedule": 300.0, "options": {"expires": 300}},
    "audit": {"task": "billing_project.audit", "schedule": crontab(hour=3, minute=17)},
    "sync with Stripe": {"task": "payments.sync_due", "schedule": 2.0, "options": {"expires": 10}},
    "work Stripe's webhooks": {"task": "payments.work_events", "schedule": 2.0, "options": {"expires": 10}},
    "look at what is open at Stripe": {"task": "payments.look_due", "schedule": 300.0, "options": {"expires": 300}},
    "compare all with Stripe": {"task": "payments.reconcile", "schedule": crontab(hour=2, minute=47)},
    "sweep Stripe's webhooks": {"task": "payments.sweep_events", "schedule": 3600.0},
    "ask Stripe for taxes": {"task": "payments.look_up_taxes", "schedule": 60.0, "options": {"expires": 60}},
    "see to unpaid invoices": {"task": "payments.see_to_unpaid", "schedule": 60.0, "options": {"expires": 120}},
    "send mails": {"task": "payments.send_mails", "schedule": 10.0, "options": {"expires": 20}},
    "hand over": {"task": "handover.hand_over_due", "schedule": 2.0, "options": {"expires": 10}},
}

# --- Holdfast ---------------------------------------------------------------------------------------------------------


def _whole(name: str, default: int, *, least: int = 1) -> int:
    """A whole number from the environment, of at least so much."""
    number = env.int(name, default)
    if number < least:
        raise ImproperlyConfigured(f"{name}: give a whole number of {least} or more.")
    return number


# Intake: events older than this are refused outside an import; those further ahead than the tolerance always.
MAX_EVENT_AGE_DAYS = env.int("HOLDFAST_MAX_EVENT_AGE_DAYS", 35)
MAX_EVENT_FUTURE_SECONDS = 300
# Attributes of CloudEvents that say how an event travelled, not what happened: passed over. Any other is refused.
CLOUDEVENTS_IGNORED = frozenset(
    env.list(
        "HOLDFAST_CLOUDEVENTS_IGNORED",
        default=[
            "dataschema",
            # Extensions of the specification: tracing, partitioning, sequence, expiry and recording.
            "traceparent", "tracestate", "partitionkey", "sequence", "sequencetype", "expirytime", "recordedtime",
            # Added on the way by Knative and Dapr.
            "knativearrivaltime", "pubsubname", "topic", "traceid",
        ],
    )
)  # fmt: skip
# How long after a period's end its draft is still refreshed before it is issued, in hours.
INVOICE_GRACE_HOURS = env.int("HOLDFAST_INVOICE_GRACE_HOURS", 0)
# Whether a password alone opens no page of the admin.
STAFF_TOTP = env.bool("HOLDFAST_STAFF_TOTP", ENVIRONMENT == "production")
OTP_TOTP_ISSUER = "Holdfast"
# Who acts in the admin proves again who they are so many minutes after the last time; 0: each time.
STAFF_PROOF_MINUTES = _whole("HOLDFAST_STAFF_PROOF_MINUTES", 15, least=0)
# A session of theirs ends so many hours after it began, whatever is done in it.
STAFF_SESSION_HOURS = _whole("HOLDFAST_STAFF_SESSION_HOURS", 12)
# From so many wrong passwords on, for an account and from an address, each makes the wait for the next twice as long,
# up to so many minutes.
STAFF_GUESSES = _whole("HOLDFAST_STAFF_GUESSES", 5)
STAFF_ADDRESS_GUESSES = _whole("HOLDFAST_STAFF_ADDRESS_GUESSES", 20)
STAFF_LOCK_MINUTES = _whole("HOLDFAST_STAFF_LOCK_MINUTES", 60)
# How many proxies of one's own stand in front and name the client in X-Forwarded-For. 0: it is not believed.
TRUSTED_PROXIES = _whole("HOLDFAST_TRUSTED_PROXIES", 0, least=0)
# Goodwill of one person on one invoice above this needs another's approval: USD=500,EUR=450. None without it.
try:
    SECOND_PERSON_ABOVE = limits_of(env.list("HOLDFAST_SECOND_PERSON_ABOVE", default=[]))
except ValueError as error:
    raise ImproperlyConfigured(f"HOLDFAST_SECOND_PERSON_ABOVE: {error}.") from error
# Days for which ended simulations and stopped shadows are kept; 0: for ever.
SIMULATION_DAYS = env.int("HOLDFAST_SIMULATION_DAYS", 90)
# Evaluate at most so many waiting events of one partition in one transaction.
EVALUATION_BATCH = env.int("HOLDFAST_EVALUATION_BATCH", 4000)
# Webhooks go to public addresses, by https, on these ports only.
WEBHOOK_PORTS = [int(port) for port in env.list("HOLDFAST_WEBHOOK_PORTS", default=["443"])]
# For tests and local trials: also to this very machine, by http and on any port. Refused in production.
WEBHOOK_ALLOW_LOOPBACK = env.bool("HOLDFAST_WEBHOOK_ALLOW_LOOPBACK", False)
# Where customers reach this installation: what links to the portal begin with. Else, the address that was asked.
PUBLIC_URL = env.str("HOLDFAST_PUBLIC_URL", "").rstrip("/")
DOCS_URL = env.str("HOLDFAST_DOCS_URL", "/v1/docs")
# Stripe is off until a key is set. Test customers (those with a test clock) go by the key for them; without one, by the
# key of the others where that is a test key, else not at all: they never reach a live key.
STRIPE_KEY = env.str("HOLDFAST_STRIPE_KEY", "")
STRIPE_TEST_KEY = env.str("HOLDFAST_STRIPE_TEST_KEY", "")
# Secrets of webhook endpoints, several while one replaces another.
STRIPE_WEBHOOK_SECRETS = env.list("HOLDFAST_STRIPE_WEBHOOK_SECRETS", default=[])
# Another server that speaks Stripe's API, for tests and local trials. Refused in production.
STRIPE_URL = env.str("HOLDFAST_STRIPE_URL", "").rstrip("/")
# Requests a second, of all processes together. Stripe allows 100 in live mode and 25 in test mode.
STRIPE_RATE = env.int("HOLDFAST_STRIPE_RATE", 20)
# Whether Stripe Tax decides which rates customers have, but for those whom a person gave rates; and what is sold, as a
# tax code of Stripe's (left out, the account's).
STRIPE_TAX = env.bool("HOLDFAST_STRIPE_TAX", False)
STRIPE_TAX_CODE = env.str("HOLDFAST_STRIPE_TAX_CODE", "")
if STRIPE_TAX and not (STRIPE_KEY or STRIPE_TEST_KEY):
    raise ImproperlyConfigured("HOLDFAST_STRIPE_TAX: there is no Stripe to ask. Set HOLDFAST_STRIPE_KEY, too.")


def _days(name: str, default: str) -> tuple[int, ...]:
    """Days that rise, comma separated; an empty text is none."""
    text = env.str(name, default).strip()
    try:
        return days_of(text.split(",")) if text else ()
    except ValueError as error:
        raise ImproperlyConfigured(f"{name}: {error}.") from error


# Unpaid invoices: days from a failed charge to each further attempt, and from the due date to each reminder; how many
# days after the last of them it is over, and what becomes of the invoice then. No days: nothing of that kind is done.
DUNNING_RETRY_DAYS = _days("HOLDFAST_DUNNING_RETRY_DAYS", "3,5,7")
DUNNING_REMINDER_DAYS = _days("HOLDFAST_DUNNING_REMINDER_DAYS", "3,7,14")
DUNNING_END_DAYS = _days("HOLDFAST_DUNNING_END_DAYS", "14")
DUNNING_END = env.str("HOLDFAST_DUNNING_END", "uncollectible")
if len(DUNNING_END_DAYS) != 1:
    raise ImproperlyConfigured("HOLDFAST_DUNNING_END_DAYS: give one whole number of days.")
if DUNNING_END not in ("uncollectible", "leave"):
    raise ImproperlyConfigured("HOLDFAST_DUNNING_END: give uncollectible or leave.")

# Mails to customers leave only where a server for them is named; without one, Django's go nowhere.
EMAIL_HOST = env.str("HOLDFAST_EMAIL_HOST", "")
EMAIL_BACKEND = f"django.core.mail.backends.{'smtp' if EMAIL_HOST else 'dummy'}.EmailBackend"
_EMAIL_TLS = env.str("HOLDFAST_EMAIL_TLS", "starttls")
if _EMAIL_TLS not in ("starttls", "tls", "none"):
    raise ImproperlyConfigured("HOLDFAST_EMAIL_TLS: give starttls, tls or none.")
EMAIL_USE_TLS, EMAIL_USE_SSL = _EMAIL_TLS == "starttls", _EMAIL_TLS == "tls"
EMAIL_PORT = env.int("HOLDFAST_EMAIL_PORT", 465 if EMAIL_USE_SSL else 587)
EMAIL_HOST_USER = env.str("HOLDFAST_EMAIL_USER", "")
EMAIL_HOST_PASSWORD = env.str("HOLDFAST_EMAIL_PASSWORD", "")
# Seconds for each answer of that server.
EMAIL_TIMEOUT = 20
DEFAULT_FROM_EMAIL = env.str("HOLDFAST_EMAIL_FROM", "")
DUNNING_MAILS = env.bool("HOLDFAST_DUNNING_MAILS", bool(EMAIL_HOST))
if DUNNING_MAILS and not (EMAIL_HOST and parseaddr(DEFAULT_FROM_EMAIL)[1]):
    raise ImproperlyConfigured(
        "Mails to customers need HOLDFAST_EMAIL_HOST and HOLDFAST_EMAIL_FROM (billing@example.com, or with a name: "
        "Example <billing@example.com>). HOLDFAST_DUNNING_MAILS=off sends none."
    )

# Where what contracts pass on as Lago events is handed over: the address that /api/v1 stands behind, and a key of it.
LAGO_URL = env.str("HOLDFAST_LAGO_URL", "").rstrip("/")
LAGO_KEY = env.str("HOLDFAST_LAGO_KEY", "")
# Who sends the invoices; printed on the PDF.
SELLER = {
    "name": env.str("HOLDFAST_SELLER_NAME", "Holdfast demo seller"),
    "address": env.str("HOLDFAST_SELLER_ADDRESS", ""),
    "email": env.str("HOLDFAST_SELLER_EMAIL", ""),
    "tax_id": env.str("HOLDFAST_SELLER_TAX_ID", ""),
}
# A PNG or SVG on this machine, printed at their head.
SELLER_LOGO = env.str("HOLDFAST_SELLER_LOGO", "")

UNFOLD = {
    "SITE_TITLE": "Holdfast",
    "SITE_HEADER": "Holdfast",
    "SITE_SUBHEADER": "Bill what held",
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("workplace/icon.svg")}],
    "DASHBOARD_CALLBACK": "workplace.front.callback",
    "SIDEBAR": {"navigation": "workplace.menu.navigation", "show_search": True, "command_search": True},
    "STYLES": [lambda request: static("workplace/pages.css")],
    "SCRIPTS": [
        lambda request: static("workplace/palette.js"),
        lambda request: static("workplace/files.js"),
    ],
    # Ctrl+K, on every page: customers, numbers, subjects, ids.
    "COMMAND": {"show_history": False},
    "LOGIN": {"form": "access.login.LoginForm"},
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": "access.logs.JsonFormatter"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
    "root": {"handlers": ["stderr"], "level": env.str("HOLDFAST_LOG_LEVEL", "INFO")},
    # Our own access log has a line per request; Django's would repeat each 4xx.
    "loggers": {
        "django.request": {"level": "ERROR"},
        # It writes down every request; ours are in the table of steps.
        "stripe": {"level": "WARNING"},
    },
}
