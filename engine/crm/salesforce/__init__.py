"""The Salesforce connector, over the REST API with the metadata package's fields ``Syncline_*__c``.

It must not know mailboxes, the ledger, the policy or what the engine does with an item.
"""

from engine.crm.salesforce.connector import SalesforceConnector
from engine.crm.salesforce.settings import SalesforceSettings

__all__ = ["SalesforceConnector", "SalesforceSettings"]
