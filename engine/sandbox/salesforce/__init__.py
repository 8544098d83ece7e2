"""Salesforce REST as a loopback server: OAuth, describe, SOQL, sObject rows, collections and composite."""
