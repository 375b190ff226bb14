"""Gateway to a hospital's archive (PACS): takes mammography exams and returns results as DICOM objects.

The pure core: `films` reads headers, `eligibility` says which films are judged, `report` joins films and predictions,
and `objects` makes DICOM objects of them.
"""
