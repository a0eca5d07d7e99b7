"""Paths under /v1/."""

from django.urls import path

from contracts.api.conditions import ConditionCheck, ConditionDetail, ConditionList
from contracts.api.contracts import ContractAmend, ContractDetail, ContractList
from contracts.api.customers import CustomerDetail, CustomerList
from contracts.api.rate_cards import RateCardDetail, RateCardList
from contracts.api.tax_rates import TaxRateDetail, TaxRateList

urlpatterns = [
    path("customers", CustomerList.as_view()),
    # `path`, since the seller's own keys may contain a slash.
    path("customers/<path:key>", CustomerDetail.as_view()),
    path("conditions", ConditionList.as_view()),
    path("conditions/check", ConditionCheck.as_view()),
    path("conditions/<str:slug>", ConditionDetail.as_view()),
    path("rate_cards", RateCardList.as_view()),
    path("rate_cards/<str:key>", RateCardDetail.as_view()),
    path("tax_rates", TaxRateList.as_view()),
    path("tax_rates/<str:key>", TaxRateDetail.as_view()),
    path("contracts", ContractList.as_view()),
    path("contracts/<str:id>", ContractDetail.as_view()),
    path("contracts/<str:id>/amend", ContractAmend.as_view()),
]
