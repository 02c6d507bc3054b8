"""The graph of the method, written once; an executor runs it in process or through Prefect."""
