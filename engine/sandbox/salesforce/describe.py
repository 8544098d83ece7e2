"""What ``/sobjects`` and ``/sobjects/X/describe`` tell about the objects."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from engine.sandbox.salesforce.objects import OBJECTS
from engine.sandbox.salesforce.schema import FieldDef, ObjectDef

Json = dict[str, Any]

_SOAP = {
    "boolean": "xsd:boolean",
    "int": "xsd:int",
    "double": "xsd:double",
    "currency": "xsd:double",
    "percent": "xsd:double",
    "date": "xsd:date",
    "datetime": "xsd:dateTime",
    "id": "tns:ID",
    "reference": "tns:ID",
    "address": "urn:address",
}


def every(version: str) -> Json:
    """The list of all objects."""
    return {
        "encoding": "UTF-8",
        "maxBatchSize": 200,
        "sobjects": [_summary(each, version) for each in OBJECTS.values()],
    }


@lru_cache(maxsize=64)
def one(definition_name: str, version: str) -> Json:
    """One object with its fields and child lists."""
    definition = OBJECTS[definition_name]
    return {
        **_summary(definition, version),
        "fields": [_field(definition, each) for each in definition.fields],
        "childRelationships": [
            {
                "cascadeDelete": False,
                "childSObject": other.name,
                "deprecatedAndHidden": False,
                "field": each.name,
                "junctionIdListNames": [],
                "junctionReferenceTo": [],
                "relationshipName": each.children,
                "restrictedDelete": False,
            }
            for other in OBJECTS.values()
            for each in other.fields
            if definition.name in each.refers
        ],
        "recordTypeInfos": [
            {
                "active": True,
                "available": True,
                "defaultRecordTypeMapping": True,
                "developerName": "Master",
                "master": True,
                "name": "Master",
                "recordTypeId": "012000000000000AAA",
                "urls": {},
            }
        ],
        "supportedScopes": [],
        "namedLayoutInfos": [],
    }


def basic(definition: ObjectDef, version: str) -> Json:
    """``/sobjects/X``: the summary and an empty list of recent records."""
    return {"objectDescribe": _summary(definition, version), "recentItems": []}


def _summary(definition: ObjectDef, version: str) -> Json:
    base = f"/services/data/v{version}/sobjects/{definition.name}"
    return {
        "activateable": False,
        "createable": definition.writable,
        "custom": False,
        "customSetting": False,
        "deletable": definition.writable and definition.name != "User",
        "deprecatedAndHidden": False,
        "keyPrefix": definition.prefix,
        "label": definition.label,
        "labelPlural": definition.plural,
        "layoutable": definition.writable,
        "name": definition.name,
        "queryable": True,
        "replicateable": definition.writable,
        "retrieveable": True,
        "searchable": definition.writable,
        "triggerable": definition.writable,
        "undeletable": definition.writable and definition.name != "User",
        "updateable": definition.writable,
        "urls": {
            "sobject": base,
            "describe": f"{base}/describe",
            "rowTemplate": base + "/{ID}",
        },
    }


def _field(definition: ObjectDef, each: FieldDef) -> Json:
    long_area = each.type == "textarea" and each.length > 255
    sortable = each.stored and not long_area
    return {
        "name": each.name,
        "label": each.label,
        "type": each.type,
        "soapType": _SOAP.get(each.type, "xsd:string"),
        "length": each.length,
        "byteLength": each.length * 3 if each.type not in ("id", "reference") else 18,
        "digits": 8 if each.type == "int" else 0,
        "precision": 18 if each.type in ("double", "currency", "percent") else 0,
        "scale": each.scale,
        "nillable": each.nillable,
        "createable": each.createable,
        "updateable": each.updateable,
        "defaultedOnCreate": each.default is not None or each.type == "boolean" or not each.createable,
        "defaultValue": each.default if isinstance(each.default, bool) else None,
        "calculated": False,
        "autoNumber": each.name == "CaseNumber",
        "caseSensitive": each.sensitive,
        "unique": each.unique,
        "externalId": each.external,
        "idLookup": each.external or each.name == "Id" or each.type == "email",
        "nameField": each.name == definition.name_field,
        "namePointing": each.type == "reference" and len(each.refers) > 1,
        "polymorphicForeignKey": each.type == "reference" and len(each.refers) > 1,
        "referenceTo": list(each.refers),
        "relationshipName": each.relation,
        "relationshipOrder": None,
        "cascadeDelete": False,
        "restrictedDelete": False,
        "restrictedPicklist": each.restricted,
        "dependentPicklist": False,
        "picklistValues": [
            {
                "active": True,
                "defaultValue": value == each.default,
                "label": value,
                "validFor": None,
                "value": value,
            }
            for value in each.values
        ],
        "compoundFieldName": _compound(definition, each),
        "custom": each.custom,
        "deprecatedAndHidden": False,
        "encrypted": False,
        "extraTypeInfo": "plaintextarea" if each.type == "textarea" else None,
        "filterable": sortable,
        "groupable": sortable and each.type not in ("datetime", "double", "currency", "percent"),
        "sortable": sortable,
        "aggregatable": sortable and each.type != "boolean",
        "htmlFormatted": False,
        "inlineHelpText": None,
        "permissionable": each.custom or (each.nillable and each.createable),
        "queryByDistance": False,
        "writeRequiresMasterRead": False,
    }


def _compound(definition: ObjectDef, each: FieldDef) -> str | None:
    for part in ("Street", "City", "State", "PostalCode", "Country"):
        whole = each.name.removesuffix(part) + "Address"
        if each.name.endswith(part) and whole in definition.by_name:
            return whole
    if (
        each.name in ("FirstName", "LastName", "Salutation", "MiddleName", "Suffix")
        and "Name" in definition.by_name
    ):
        return "Name"
    return None
