# SPDX-License-Identifier: Apache-2.0
"""Errors of drivers, with the codes that they give."""

import sqlite3

from nova_cellmap.db.error_kinds import Kind

MYSQL = {
    Kind.LOST: (0, 1047, 1053, 1180, 1927, 2003, 2006, 2013),
    Kind.UNUSABLE: (1045, 1049, 1130, 2059),
    Kind.LOCKED: (1205, 1213),
    Kind.CROWDED: (1040, 1203),
    Kind.SLOW: (1317, 1969, 3024),
    Kind.READ_ONLY: (1290, 1836),
    Kind.FULL: (1021, 1114),
    Kind.SCHEMA: (1054, 1146),
    Kind.VALUE: (1366, 1406),
    Kind.DUPLICATE: (1062,),
    Kind.REFERENCE: (1451, 1452),
    Kind.DENIED: (1142, 1143),
    Kind.REFUSED: (1064, 1048),
}
POSTGRESQL = {
    Kind.LOST: ('08006', '57P01', '57P02', '57P03'),
    Kind.UNUSABLE: ('28P01', '3D000'),
    Kind.LOCKED: ('40001', '40P01', '55P03'),
    Kind.CROWDED: ('53300',),
    Kind.SLOW: ('57014',),
    Kind.READ_ONLY: ('25006',),
    Kind.FULL: ('53100',),
    Kind.SCHEMA: ('42P01', '42703'),
    Kind.VALUE: ('22P05', '22001'),
    Kind.DUPLICATE: ('23505',),
    Kind.REFERENCE: ('23503',),
    Kind.DENIED: ('42501',),
    Kind.REFUSED: ('42601', '23502'),
}


class PostgresqlError(sqlite3.DatabaseError):
    """Its class is one of PEP 249's; nobody else can make psycopg2's have a code."""

    def __init__(self, pgcode: str | None, text: str = 'said') -> None:
        super().__init__(text)
        self.pgcode = pgcode
