"""The component `report_status`."""
